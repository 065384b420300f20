"""What each arm of the comparison trains on: all from one dataset, with equally many steps.

none         the real images
flip         the same, flipped on the fly: the paper's standard augmentation
gan          real and synthetic images
oversample   real images; each synthetic one is replaced by a real one with the same labels:
             the gan arm's balance without its pixels
pretrain     synthetic images alone first, then real ones alone
classweight  real images, positives weighted by negatives / positives in the loss
"""

from collections.abc import Mapping
from dataclasses import dataclass

from builder.contract import ORIGINS, Manifest, UsageError
from trainer.arms.classweight import positive_weight
from trainer.arms.oversample import twins
from trainer.stream.batches import Dataset
from trainer.stream.order import Order, Part, Rows

ARMS = ("none", "flip", "gan", "oversample", "pretrain", "classweight")
AUGMENTS = ("none", "flip")
STEPS = ("equal", "own")
TREATMENTS = ("gan", "pretrain")  # what shows synthetic pixels; the other arms are its controls
EVEN = {"real": 1.0, "synthetic": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What the fit needs to know of an arm."""

    order: Order
    augment: str  # one of AUGMENTS
    positive_weight: tuple[float, ...] | None  # [L], of a positive's loss
    choose_from: int  # the first epoch whose weights may be chosen


def default_arm(manifest: Manifest) -> str:
    """gan where there are synthetic images, else none."""
    synthetic = any(shard.origin == "synthetic" for shard in manifest.shardlist)
    return "gan" if synthetic else "none"


def parse_mix(text: str) -> dict[str, float]:
    """The weight of each origin in words like `real=1,synthetic=0.5`; UsageError if it is none."""
    pairs = [word.split("=") for word in text.split(",")]
    try:
        mix = {origin.strip(): float(weight) for origin, weight in pairs}
    except ValueError:
        mix = {}
    fine = mix.keys() <= {*ORIGINS} and all(0 < weight < 1000 for weight in mix.values())
    if len(mix) < len(pairs) or not fine:
        raise UsageError(
            f"--mix {text} is no mix: write it like real=1,synthetic=0.5, with weights above 0."
        )
    return EVEN | mix


def make_arm(
    name: str,
    data: Dataset,
    *,
    epochs: int,
    seed: int,
    augment: str,
    mix: Mapping[str, float],
    steps: str,
) -> Arm:
    """The arm `name` for so many epochs.

    `mix` weighs the origins: 0.5 takes half of an origin's images in an epoch, the other half in
    the next; 2 takes each twice. With `steps` "equal" every arm's epoch has as many images as the
    gan arm's; with "own" it has its images once. UsageError where the arm cannot be had.
    """
    rows = {origin: data.rows("train", origin) for origin in ORIGINS}
    counts = {origin: round(mix[origin] * len(rows[origin])) for origin in ORIGINS}
    if name not in ARMS or augment not in AUGMENTS or steps not in STEPS:
        raise UsageError(
            f"There is no arm {name!r} with augmentation {augment!r}, steps {steps!r}."
        )
    _check(name, rows, counts, epochs=epochs)
    total = sum(counts.values())

    def part(origin: str, count: int, first: int = 1, last: int | None = None) -> Part:
        chosen = rows[origin]
        shards = data.shard[chosen]
        return Part(name=origin, rows=chosen, shards=shards, count=count, first=first, last=last)

    first = 1
    if name in ("gan", "oversample"):
        parts = tuple(part(origin, counts[origin]) for origin in ORIGINS if counts[origin])
    elif name == "pretrain":
        first = 1 + min(max(round(epochs * counts["synthetic"] / total), 1), epochs - 1)
        count = {o: total if steps == "equal" else counts[o] for o in ORIGINS}
        parts = (
            part("synthetic", count["synthetic"], last=first - 1),
            part("real", count["real"], first=first),
        )
    else:
        parts = (part("real", total if steps == "equal" else counts["real"]),)
    key = f"{data.manifest.digest} {seed}"
    stand_in = twins(data, seed=seed) if name == "oversample" else None
    return Arm(
        order=Order(key=key, parts=parts, stand_in=stand_in),
        augment="flip" if name == "flip" else augment,
        positive_weight=positive_weight(data.index.labels[rows["real"]])
        if name == "classweight"
        else None,
        choose_from=first,
    )


def _check(name: str, rows: Mapping[str, Rows], counts: Mapping[str, int], *, epochs: int) -> None:
    if not counts["real"]:
        raise UsageError("No real training image is left by this --mix: give real more weight.")
    if name in ("gan", "oversample", "pretrain") and not counts["synthetic"]:
        raise UsageError(
            f"--arm {name} needs synthetic images, and there are {len(rows['synthetic'])} in the"
            " dataset (or --mix leaves none): use --arm none."
        )
    if name == "pretrain" and epochs < 2:
        raise UsageError("--arm pretrain needs two epochs at least: one synthetic, one real.")
