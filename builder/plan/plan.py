"""The fewest synthetic images that lift every target to its share → Plan.

Usable on its own, for any multi-label problem:

    from builder.plan import plan_balance
    plan = plan_balance(labels, targets=[4, 11, 12], share=Fraction(15, 100), seed=0)
    plan.render     # images to make per target: each copies a drawn row's whole label vector
    plan.rows(0)    # the rows of `labels` drawn for the first target
    plan.label_vectors(0, labels)    # the label vectors of its images

Image j of target t copies the label vector of a row drawn uniformly, with replacement, from L_t,
the rows in which t is positive. The draws of a target are one fixed sequence, a function of (seed,
target); a plan says how long a prefix n_t of each to use. Images made for one target count for
another when it co-occurs in the vector drawn, and against it (through the total) when not. With
P_p real positives among N rows, and c_tp(n) positives of p among the first n draws of t, the plan
is the solution of the integer programme

    minimise Σ_t n_t   subject to   b·(P_p + Σ_t c_tp(n_t)) ≥ a·(N + Σ_t n_t)  for every target p

for a share of a/b. It is counted on the draw as realised, hence exact: a plan that holds only in
expectation misses the share in most draws.

With vectors="alone" nothing is drawn: each image has its target and no other label, and the same
programme has the closed form of `alone`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from operator import add

import numpy as np
import numpy.typing as npt

from builder.contract import Labels, PlanProof, TargetCount, UsageError
from builder.plan.alone import fewest_alone
from builder.plan.branch_and_bound import solve
from builder.plan.needed import Flags, Vectors, advice, expect, images_needed

Ints = npt.NDArray[np.int64]
_Counted = tuple[tuple[int, ...], tuple[int, ...], int]  # images, positives after, lower bound

MAX_PER_REAL = 5  # synthetic images per real one that a plan may ask for by default


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The number of images for each of T targets over N real rows, and what follows from it."""

    targets: tuple[int, ...]  # columns of the label matrix
    names: tuple[str, ...]  # [T], these seed each target's draws
    share: Fraction
    seed: int
    real: int  # N
    pools: tuple[Ints, ...]  # [T] L_t: row numbers with t positive
    render: tuple[int, ...]  # [T] images to make
    positives: tuple[int, ...]  # [T] after: real and synthetic, whichever target they were made for
    lower_bound: int  # proven lower bound on the number of images; equal to `synthetic` = optimal
    vectors: Vectors = "lp"

    @property
    def synthetic(self) -> int:
        """The number of images to make."""
        return sum(self.render)

    def rows(self, i: int) -> Ints:
        """The row numbers whose label vectors the images of target number `i` copy, in order.

        ValueError where they copy none, because each shows its target alone.
        """
        if self.vectors == "alone":
            raise ValueError("Images that show their target alone copy no row.")
        return draw_rows(self.pools[i], self.render[i], seed=self.seed, name=self.names[i])

    def label_vectors(self, i: int, labels: Labels) -> Labels:
        """int8 [n, L]: the label vectors of the images of target number `i`, in order.

        `labels` is the int8 [N, L] matrix that the plan was made from. Where each image shows its
        target alone, every other label is 0, whatever it is in real images with that target: also
        one that is unknown there, a device, or a finding that another one implies.
        """
        if self.vectors == "lp":
            return labels[self.rows(i)]
        alone = np.zeros((self.render[i], labels.shape[1]), dtype=np.int8)
        alone[:, self.targets[i]] = 1
        return alone

    def proof(self) -> PlanProof:
        """The counts that a manifest carries and anybody can check in integers."""
        total = self.real + self.synthetic
        return PlanProof(
            share=(self.share.numerator, self.share.denominator),
            real=self.real,
            synthetic=self.synthetic,
            lower_bound=self.lower_bound,
            targets=tuple(
                TargetCount(
                    pathology=name,
                    real_positives=len(pool),
                    render=render,
                    positives=positives,
                    share=positives / total,
                )
                for name, pool, render, positives in zip(
                    self.names, self.pools, self.render, self.positives, strict=True
                )
            ),
        )


def philox(*parts: object) -> np.random.Philox:
    """A counter-based stream named by `parts`: the same on every machine and numpy version."""
    name = "\x1f".join(str(part) for part in parts)
    key = hashlib.blake2b(name.encode(), digest_size=16, person=b"cxr-rebalance").digest()
    return np.random.Philox(key=int.from_bytes(key, "little"))


def draw_rows(pool: Ints, count: int, *, seed: int, name: str) -> Ints:
    """The first `count` draws from `pool`, uniform with replacement; longer ones extend shorter."""
    raw = philox(seed, "label vector", name).random_raw(count)
    uniform = (np.asarray(raw) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return pool[(uniform * len(pool)).astype(np.int64)]


def rare_targets(
    labels: npt.ArrayLike, *, below: Fraction, exclude: Sequence[int] = ()
) -> list[int]:
    """The columns with fewer positives than `below` of all rows, `exclude` left out."""
    positives = (np.asarray(labels) == 1).sum(axis=0)
    rows = len(np.asarray(labels))
    return [
        column
        for column, count in enumerate(positives.tolist())
        if column not in exclude and count < below * rows
    ]


def plan_balance(
    labels: npt.ArrayLike,
    *,
    targets: Sequence[int],
    share: Fraction,
    seed: int = 0,
    names: Sequence[str] | None = None,
    max_per_real: int = MAX_PER_REAL,
    vectors: Vectors = "lp",
) -> Plan:
    """The plan with the fewest images such that every target holds `share` of the combined set.

    `labels` is [N, L]; 1 is positive, anything else is not. `names` (default: the column numbers)
    seed the draws, one per target. `vectors` are the images' label vectors: "lp", those of rows
    drawn from L_t, or "alone", the target and nothing else. UsageError where a target has no
    positive, or the shares cannot hold together with at most `max_per_real` images per real one; it
    says what would work.
    """
    names = tuple(names) if names is not None else tuple(str(column) for column in targets)
    positive = (np.asarray(labels) == 1)[:, list(targets)]
    _check(positive, targets, names, share)
    if images_needed(positive, share, vectors) > max_per_real * len(positive):
        raise UsageError(advice(positive, share, names, max_per_real, vectors))
    pools = tuple(np.flatnonzero(column) for column in positive.T)
    if vectors == "alone":
        counted = _counted_alone(positive, share)
    else:
        counted = _counted_draws(positive, share, pools, seed, names)
    render, positives, lower_bound = counted
    return Plan(
        targets=tuple(targets),
        names=names,
        share=share,
        seed=seed,
        real=len(positive),
        pools=pools,
        render=render,
        positives=positives,
        lower_bound=lower_bound,
        vectors=vectors,
    )


def _counted_alone(positive: Flags, share: Fraction) -> _Counted:
    """The plan of images that each show their target alone."""
    real = positive.sum(axis=0).tolist()
    render = fewest_alone(real, len(positive), share)
    assert render is not None, "images_needed has found it"
    return render, tuple(map(add, real, render)), sum(render)


def _counted_draws(
    positive: Flags, share: Fraction, pools: Sequence[Ints], seed: int, names: Sequence[str]
) -> _Counted:
    """The plan of images that copy the label vectors of rows drawn from `pools`."""
    expected = expect(positive, share)
    assert expected is not None, "images_needed has found it"
    need = share.numerator * len(positive) - share.denominator * positive.sum(axis=0)
    length = ceil(1.05 * expected.images + 10 * expected.images**0.5) + 100
    while True:
        counts = [
            _running(positive[draw_rows(pool, length, seed=seed, name=name)])
            for pool, name in zip(pools, names, strict=True)
        ]
        against = share.numerator * np.arange(length + 1)[:, None]
        gain = [share.denominator * count - against for count in counts]
        if solved := solve(gain, need, expected.prices):
            break
        length *= 2  # an unlucky draw needs more images than are expected
    render, bound = solved
    after = positive.sum(axis=0) + sum(count[n] for count, n in zip(counts, render, strict=True))
    return render, tuple(int(count) for count in after), bound


def _check(positive: Flags, targets: Sequence[int], names: Sequence[str], share: Fraction) -> None:
    """Raise UsageError unless there is something to lift, and something to draw for it."""
    if not 0 < share < 1:
        raise UsageError(f"--share is a fraction above 0 and below 1, got {float(share):g}.")
    if not targets:
        raise UsageError("There is no target, because no pathology is rare: name some by --target.")
    if len(set(targets)) < len(targets):
        raise UsageError("A target was named twice.")
    for name, count in zip(names, positive.sum(axis=0).tolist(), strict=True):
        if not count:
            raise UsageError(
                f"{name} has no positive among the {len(positive)} real images of this regime, and "
                "a target needs at least one: choose a larger --regime or other --target."
            )


def _running(drawn: Flags) -> Ints:
    """[n + 1, T] positives of each target among the first 0, 1, … n draws."""
    start = np.zeros((1, drawn.shape[1]), dtype=np.int64)
    return np.concatenate([start, drawn.cumsum(axis=0, dtype=np.int64)])
