"""How often the 95 % interval holds the truth, and how often the verdict finds an effect of zero.

    python benchmarks/coverage.py                           # two minutes on two cores
    python benchmarks/coverage.py --positives 20 --seeds 5 10:2 --seed-sd 0.1:0.4 --repeats 5000

`--seeds 10:2` means ten seeds of the arm and two of the control; `--seed-sd 0.1:0.4` likewise.

Scores are binormal: those of positive images are higher by `mu`. A quarter of their variance comes
from the patient and a quarter from the image, the same for all arms and seeds. The other half is
divided in the same way, and differs for each arm and seed. A patient with the pathology shows it in
three of four images. Seeds differ in `mu` with standard deviation `seed-sd`, so the true AUC is
Phi(mu / sqrt(2 + seed-sd^2)).
"""

import argparse
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from trainer.evaluate.bootstrap import ArmAucs, arm_aucs, resample
from trainer.evaluate.inference import difference, estimate, verdict

SHOWN = 0.75  # share of the images of a patient with the pathology that show it
PREVALENCE = 0.1
FEW = 10  # positives; a report gives no figure of fewer


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is simulated; pairs are (control, arm)."""

    positives: int
    per_patient: int  # images
    seeds: tuple[int, int]
    seed_sd: tuple[float, float]
    control: float  # true AUC
    effect: float  # true AUC of the arm minus that of the control
    resamples: int

    @property
    def mu(self) -> np.ndarray:
        """float [2]: of control and arm."""
        aucs = np.array([self.control, self.control + self.effect])
        return np.array(norm.ppf(aucs) * np.sqrt(2 + np.square(self.seed_sd)))


def simulated(case: Case, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels [N, 1], patients [N], scores [2, S, N, 1] of control and arm, S the larger number."""
    seeds = max(case.seeds)
    rng = np.random.default_rng((number, case.positives, *case.seeds))
    count = round(case.positives / PREVALENCE / case.per_patient)
    diseased = rng.random(count) < PREVALENCE / SHOWN
    patients = np.repeat(np.arange(count), case.per_patient)
    labels = (diseased[patients] & (rng.random(len(patients)) < SHOWN)).astype(np.int8)
    mu = case.mu[:, None] + np.array(case.seed_sd)[:, None] * rng.standard_normal((2, seeds))
    own = (2, seeds)
    noise = sum(
        rng.standard_normal((*shape, count))[..., patients]
        + rng.standard_normal((*shape, len(patients)))
        for shape in ((), own)
    )
    scores = mu[..., None] * labels + noise / 2
    return labels[:, None], patients, scores[..., None].astype(np.float32)


def arms(case: Case, number: int) -> tuple[ArmAucs, ArmAucs, int]:
    labels, patients, scores = simulated(case, number)
    counts = resample(patients[-1] + 1, case.resamples, seed=number)
    control, arm = (
        arm_aucs(labels, scores[i, : case.seeds[i]], patients, counts, threads=1) for i in (0, 1)
    )
    return control, arm, int(labels.sum())


def once(case: Case, number: int) -> tuple[float, ...] | None:
    """One simulated experiment: whether each interval holds the truth, the verdict, the width.

    None where the test set has too few positives for a figure.
    """
    control, arm, positives = arms(case, number)
    if positives < FEW:
        return None
    auc = estimate(control, 0, pooled_with=[arm])
    gap = difference(arm, control, 0)
    return (
        auc.low <= case.control <= auc.high,
        gap.low <= case.effect <= gap.high,
        # The verdict of several seeds: with one seed it is never helped or hurt.
        *(verdict(gap, gap.p, seeds=2) == word for word in ("helped", "hurt")),
        gap.high - gap.low,
        gap.seed_share,
    )


def pair(kind: Callable[[str], float], words: str) -> tuple[float, ...]:
    """(control, arm) from ARM:CONTROL, or from one value for both."""
    arm, _, control = words.partition(":")
    return kind(control or arm), kind(arm)


def written(values: tuple[float, float]) -> str:
    return ":".join(map(str, values[::-1]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positives", type=int, nargs="+", default=[15, 30, 100])
    parser.add_argument("--per-patient", type=int, nargs="+", default=[3])
    parser.add_argument(
        "--seeds", type=partial(pair, int), nargs="+", default=[(1, 1), (2, 2), (5, 5), (2, 5)]
    )
    parser.add_argument(
        "--seed-sd", type=partial(pair, float), nargs="+", default=[(0.2, 0.2)],
        help="0 with one seed",
    )  # fmt: skip
    parser.add_argument("--auc", type=float, default=0.75)
    parser.add_argument("--effects", type=float, nargs="+", default=[0.0, 0.06])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


def cases(options: argparse.Namespace) -> list[Case]:
    """Every combination of the options once; one seed has no deviation."""
    settings = product(options.positives, options.per_patient, options.seeds, options.seed_sd)
    unique = dict.fromkeys(
        (p, k, s, tuple(sd if n > 1 else 0.0 for n, sd in zip(s, sds, strict=True)))
        for p, k, s, sds in settings
    )
    return [
        Case(
            positives=positives, per_patient=each, seeds=seeds, seed_sd=sd,
            control=options.auc, effect=effect, resamples=options.resamples,
        )
        for (positives, each, seeds, sd), effect in product(unique, options.effects)
    ]  # fmt: skip


def row(case: Case, found: Iterable[tuple[float, ...] | None]) -> list[str]:
    """The cells of a case: rates over the test sets with enough positives, and their number."""
    used = [figures for figures in found if figures]
    cells = [
        str(case.positives), str(case.per_patient),
        written(case.seeds), written(case.seed_sd), str(case.effect), f"{len(used):,}",
    ]  # fmt: skip
    if not used:
        return cells
    auc, gap, helped, hurt, width, share = np.mean(used, axis=0)
    error = np.sqrt(0.95 * 0.05 / len(used))
    cells += [f"{rate:.1%}" for rate in (auc, gap)]
    cells += [f"{1.96 * error:.1%}", f"{helped:.1%}", f"{hurt:.1%}"]
    return [*cells, f"{width:.3f}", f"{share:.0%}"]


def main() -> None:
    options = arguments()
    table = Table(
        "positives", "images each", "seeds", "seed sd", "effect", "test sets used",
        "AUC of the control holds", "difference holds", "known to ±", "helped", "hurt", "width",
        "seeds' share",
        title=f"AUC {options.auc}, {options.repeats} repeats; without test sets of fewer than "
        f"{FEW} positives",
    )  # fmt: skip
    start = time.perf_counter()
    with ProcessPoolExecutor(options.jobs) as pool:
        for case in cases(options):
            found = pool.map(partial(once, case), range(options.repeats), chunksize=20)
            table.add_row(*row(case, found))
    Console(width=150).print(table)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
