"""How often the 95 % interval holds the truth, and how often "helped" is said of nothing.

    python benchmarks/coverage.py                           # two minutes on two cores
    python benchmarks/coverage.py --positives 20 --seeds 5 10:2 --seed-sd 0.1:0.4 --repeats 5000

`--seeds 10:2` is ten seeds of the arm and two of the control; likewise `--seed-sd 0.1:0.4`.

Scores are binormal: a positive image's lie `mu` higher. A quarter of their variance is the
patient's and a quarter the image's, the same for all arms and seeds; and so again for what an arm's
seed makes of each. A patient with the pathology shows it in three images of four. Seeds differ in
`mu` with standard deviation `seed-sd`, so the truth is Phi(mu / sqrt(2 + seed-sd^2)).
"""

import argparse
import time
from collections.abc import Callable
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

SHOWN = 0.75  # of a patient's images with the pathology
PREVALENCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    positives: int
    per_patient: int
    seeds: tuple[int, int]  # of the control and of the arm
    seed_sd: tuple[float, float]  # of the control's and of the arm's
    control: float  # AUC
    effect: float
    resamples: int

    @property
    def mu(self) -> np.ndarray:
        """[2]: of control and arm."""
        aucs = np.array([self.control, self.control + self.effect])
        return np.array(norm.ppf(aucs) * np.sqrt(2 + np.square(self.seed_sd)))


def simulated(case: Case, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels [N, 1], patients [N], scores [2, S, N, 1] of control and arm, S the larger number."""
    seeds = max(case.seeds)
    rng = np.random.default_rng((number, case.positives, *case.seeds))
    count = round(case.positives / PREVALENCE / case.per_patient)
    ill = rng.random(count) < PREVALENCE / SHOWN
    patients = np.repeat(np.arange(count), case.per_patient)
    labels = (ill[patients] & (rng.random(len(patients)) < SHOWN)).astype(np.int8)
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
    """Whether each interval holds, and whether "helped" or "hurt" is said."""
    control, arm, positives = arms(case, number)
    if positives < 10:
        return None  # no figure is given
    auc = estimate(control, 0, pooled_with=[arm])
    gap = difference(arm, control, 0)
    return (
        auc.low <= case.control <= auc.high,
        gap.low <= case.effect <= gap.high,
        # As if of several seeds: with one it is never said.
        *(verdict(gap, gap.p, seeds=2) == word for word in ("helped", "hurt")),
        gap.high - gap.low,
        gap.seed_share,
    )


def both(kind: Callable[[str], float], words: str) -> tuple[float, ...]:
    """(control's, arm's) of what is said as arm:control, or once for both."""
    arm, _, control = words.partition(":")
    return kind(control or arm), kind(arm)


def said(pair: tuple[float, float]) -> str:
    return ":".join(map(str, pair[::-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positives", type=int, nargs="+", default=[15, 30, 100])
    parser.add_argument("--per-patient", type=int, nargs="+", default=[3])
    parser.add_argument(
        "--seeds", type=partial(both, int), nargs="+", default=[(1, 1), (2, 2), (5, 5), (2, 5)]
    )
    parser.add_argument(
        "--seed-sd", type=partial(both, float), nargs="+", default=[(0.2, 0.2)],
        help="0 with one seed",
    )  # fmt: skip
    parser.add_argument("--auc", type=float, default=0.75)
    parser.add_argument("--effects", type=float, nargs="+", default=[0.0, 0.06])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    names = "positives", "images each", "seeds", "seed sd", "effect"
    told = "AUC of the control holds", "difference holds", "helped", "hurt", "width", "seeds' share"
    table = Table(*names, *told, title=f"AUC {asked.auc}, {asked.repeats} repeats")
    start = time.perf_counter()
    settings = product(asked.positives, asked.per_patient, asked.seeds, asked.seed_sd)
    unique = dict.fromkeys(
        (p, k, s, tuple(sd if n > 1 else 0.0 for n, sd in zip(s, sds, strict=True)))
        for p, k, s, sds in settings
    )
    with ProcessPoolExecutor(asked.jobs) as pool:
        for (positives, each, seeds, sd), effect in product(unique, asked.effects):
            case = Case(
                positives=positives, per_patient=each, seeds=seeds, seed_sd=sd,
                control=asked.auc, effect=effect, resamples=asked.resamples,
            )  # fmt: skip
            found = pool.map(partial(once, case), range(asked.repeats), chunksize=20)
            auc, gap, helped, hurt, width, share = np.mean([f for f in found if f], axis=0)
            table.add_row(
                *map(str, (positives, each, said(seeds), said(sd), effect)),
                *(f"{rate:.1%}" for rate in (auc, gap, helped, hurt)),
                f"{width:.3f}", f"{share:.0%}",
            )  # fmt: skip
    Console(width=120).print(table)
    error = np.sqrt(0.95 * 0.05 / asked.repeats)
    print(f"{time.perf_counter() - start:.0f} s; coverage is known to ± {1.96 * error:.1%}")


if __name__ == "__main__":
    main()
