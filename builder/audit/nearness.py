"""The share of synthetic images that are nearer to training images than to as many held-out ones.

0.5 is what a generator gives that has learnt what its training patients share with others. The
share is weak evidence: it hardly moves where few images are copies, and it does not measure whether
one can tell who was in the training set (arXiv 2505.01524).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from builder.audit.blockwise import blockwise
from builder.audit.chance import normal, resamples, shuffled
from builder.audit.copies.shortlist import Described, describe
from builder.audit.pictures import Pictures
from builder.audit.settings import Settings
from builder.contract.audit import Nearness
from builder.progress import Progress

NEIGHBOURS = 24  # that are remembered, so that patients can be left out

Floats = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def judge_nearness(
    synthetic: Pictures, train: Pictures, held_out: Pictures, settings: Settings, show: Progress
) -> Nearness:
    """The share, with an interval over patients on both sides and over synthetic images.

    Near is what is alike in coarse waves, as in the search for copies. Images of patients in random
    order, equally many on each side and at most `settings.sample`; so many synthetic ones, too.
    """
    seed, count = settings.seed, min(len(train), len(held_out), settings.sample)
    sides = [
        _of_patients(side, count, seed, name)
        for side, name in ((train, "nearest"), (held_out, "held out"))
    ]
    described = describe(np.concatenate([side.reduced for side in sides]))
    chosen = np.sort(shuffled(len(synthetic), seed, "nearness")[: settings.sample])
    ours = describe(synthetic.reduced[chosen], described.spread).waves
    found = []
    with show("nearness", 2 * len(ours)) as advance:
        for number, (side, name) in enumerate(zip(sides, ("train", "held out"), strict=True)):
            waves = described.waves[number * count : (number + 1) * count]
            near, alike = _nearest(ours, Described(waves=waves, spread=described.spread))
            advance(len(ours))
            found.append([*_resampled(near, alike, side, settings, name)])
    drawn = resamples(len(ours), settings.resamples, seed, "synthetic")
    shares = np.array(
        [
            np.average((one > two) + 0.5 * (one == two), weights=weights)
            for one, two, weights in zip(*found, drawn, strict=True)
        ]
    )
    variance = float(shares[1:].var()) if len(shares) > 1 else 0.0
    return Nearness(share=normal(float(shares[0]), variance, 0, 1), synthetic=len(ours), real=count)


def _of_patients(pictures: Pictures, count: int, seed: int, name: str) -> Pictures:
    """`count` images: all of one patient after another, in random order."""
    _, patient = np.unique(pictures.patients.astype(str), return_inverse=True)
    rank = np.argsort(shuffled(int(patient.max()) + 1, seed, name))
    order = np.argsort(rank[patient], kind="stable")[:count]
    return pictures.take(np.sort(order))


def _nearest(ours: Floats, others: Described) -> tuple[Rows, Floats]:
    """Places and likeness [n, NEIGHBOURS] of the nearest of the others, the nearest first."""
    deep = min(NEIGHBOURS, len(others.waves))

    def one(rows: slice) -> tuple[Rows, Floats]:
        alike = ours[rows] @ others.waves.T
        near = np.sort(np.argpartition(alike, -deep, axis=1)[:, -deep:], axis=1)
        values = np.take_along_axis(alike, near, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        return np.take_along_axis(near, order, axis=1), np.take_along_axis(values, order, axis=1)

    near, alike = zip(*blockwise(one, len(ours)), strict=True)
    return np.concatenate(near), np.concatenate(alike)


def _resampled(
    near: Rows, alike: Floats, side: Pictures, settings: Settings, name: str
) -> Iterator[Floats]:
    """Likeness [n] to the nearest image: of all patients, then of those that a resample drew."""
    _, patient = np.unique(side.patients.astype(str), return_inverse=True)
    patients = patient[near]
    for times in resamples(int(patient.max()) + 1, settings.resamples, settings.seed, name):
        first = (times[patients] > 0).argmax(axis=1)
        yield alike[np.arange(len(alike)), first]
