"""How like the real images the synthetic ones are, as a set: each figure beside its real floor.

What is found for the synthetic images is found for equally many held-out images with the same
labels, too, and both sets are compared with training images. A figure differs where changing sides
between pairs of a synthetic and a held-out image hardly ever gives as much (Holm's rule over all
figures, 5 % in all).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from builder.audit.chance import (
    Reals,
    beyond_chance,
    chance_of,
    flips,
    normal,
    p_value,
    percentiles,
    resamples,
    shuffled,
)
from builder.audit.features import Extractor, Floats, features_of
from builder.audit.frechet import fid, fid_differences, real_of
from builder.audit.kernel_distance import kid_differences, resampled_kid, resampled_within
from builder.audit.matching import Compared, compared
from builder.audit.ms_ssim import MIN_SIDE
from builder.audit.neighbours import (
    NAMES,
    flipped_overlaps,
    near_of,
    overlap,
    overlap_figures,
    overlap_variances,
)
from builder.audit.pictures import Pictures
from builder.audit.sameness import couples_of, sameness
from builder.audit.settings import Settings
from builder.audit.traces import SIMPLE, traces_of
from builder.contract.audit import Figure, Interval, Quality
from builder.progress import Progress

TRACES = {  # figure: the trace of an image whose mean it is
    "sharpness": "sharpness",
    "high_frequencies": "high_frequencies",
    "intensity": "mean_grey",
    "contrast": "contrast",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A figure before all of them are known."""

    name: str
    found: Interval
    floor: Interval | None
    real: int  # images
    chance: float  # that two real sets differ as much; 1 without a floor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sets:
    """What figures are computed of: the sets, their features, and what chance does to them."""

    compared: Compared
    synthetic: Reals  # [n, D], features whose mean square is 1 over the training images
    held_out: Reals | None  # [n, D]
    train: Reals  # [m, D]
    drawn: Reals  # [1 + R, n]: how often each pair is in a resample
    drawn_train: Reals  # [1 + R, m]
    signs: np.ndarray[tuple[int, ...], np.dtype[np.int8]]  # [B, n]
    seed: int

    @property
    def sides(self) -> list[Reals]:
        """The synthetic images' features, and the held-out images' if there is a floor."""
        return [self.synthetic] if self.held_out is None else [self.synthetic, self.held_out]


def judge_quality(
    synthetic: Pictures,
    train: Pictures,
    held_out: Pictures,
    extractor: Extractor,
    settings: Settings,
    show: Progress,
) -> Quality:
    """The figures; none where there are too few images of either kind."""
    chosen = compared(synthetic, train, held_out, settings.sample, settings.seed)
    if chosen is None:
        return Quality(extractor=_scaled(extractor), compared="", figures=())
    sets = _sets(chosen, extractor, settings, show)
    parts: tuple[Callable[[_Sets], list[_Judged]], ...] = (_kid, _fid, _overlap, _sameness)
    judged: list[_Judged] = []
    with show("quality", len(parts), "parts") as advance:
        for part in parts:
            judged += part(sets)
            advance(1)
    judged += _traces(sets, show)
    differs = beyond_chance([each.chance for each in judged])
    figures = tuple(
        Figure(
            name=each.name,
            found=each.found,
            floor=each.floor,
            synthetic=len(chosen.synthetic),
            real=each.real,
            patients=each.real,  # one image of each
            differs=differ,
        )
        for each, differ in zip(judged, differs, strict=True)
    )
    return Quality(extractor=_scaled(extractor), compared=chosen.words, figures=figures)


def _scaled(extractor: Extractor) -> str:
    """What figures are computed of, and what they must not be compared with."""
    return (
        f"{extractor.identity}; divided by their root mean square over the training images, so "
        "that KID and FID are on no published scale"
    )


def _sets(chosen: Compared, extractor: Extractor, settings: Settings, show: Progress) -> _Sets:
    count, seed = len(chosen.synthetic), settings.seed
    train = features_of(extractor, chosen.train, show).astype(np.float64)
    # Features of another network may be of any size, and KID's kernel is not the same for all.
    size = float(np.sqrt(np.square(train).mean())) or 1.0
    synthetic, held_out = (
        None if part is None else features_of(extractor, part, show).astype(np.float64) / size
        for part in (chosen.synthetic, chosen.held_out)
    )
    assert synthetic is not None
    return _Sets(
        compared=chosen,
        synthetic=synthetic,
        held_out=held_out,
        train=train / size,
        drawn=resamples(count, settings.resamples, seed, "drawn"),
        drawn_train=resamples(len(chosen.train), settings.resamples, seed, "train"),
        signs=flips(count, seed),
        seed=seed,
    )


def _kid(sets: _Sets) -> list[_Judged]:
    within = resampled_within(sets.train, sets.drawn_train)
    found = [
        percentiles(resampled_kid(x, sets.train, sets.drawn, sets.drawn_train, within))
        for x in sets.sides
    ]
    chance = 1.0
    if sets.held_out is not None:
        differences = kid_differences(sets.synthetic, sets.held_out, sets.train)
        chance = chance_of(differences, sets.signs, "greater")
    return [_of("kid", found, sets, chance)]


def _fid(sets: _Sets) -> list[_Judged]:
    train, chance = real_of(sets.train), 1.0
    found = [normal(*fid(x, train), low=0.0) for x in sets.sides]
    if sets.held_out is not None:
        differences = fid_differences(sets.synthetic, sets.held_out, train)
        chance = chance_of(differences, sets.signs, "greater")
    return [_of("fid", found, sets, chance)]


def _overlap(sets: _Sets) -> list[_Judged]:
    orders = [shuffled(len(x), sets.seed, "parts") for x in (sets.synthetic, sets.train)]
    train = near_of(sets.train)
    lies = [overlap(near_of(x), train) for x in sets.sides]
    values = [overlap_figures(each) for each in lies]
    variances = [overlap_variances(each, orders[0], orders[1]) for each in lies]
    chances = np.ones(len(NAMES))
    if sets.held_out is not None:
        found = values[0] - values[1]
        null = flipped_overlaps(sets.synthetic, sets.held_out, train, sets.signs)
        chances = np.array([p_value(found[i], null[:, i], "less") for i in range(len(NAMES))])
    judged = []
    for i, name in enumerate(NAMES):
        high = np.inf if name == "density" else 1.0
        both = zip(values, variances, strict=True)
        intervals = [normal(float(v[i]), float(s[i]), 0.0, high) for v, s in both]
        judged.append(_of(name, intervals, sets, float(chances[i])))
    return judged


def _sameness(sets: _Sets) -> list[_Judged]:
    """Nothing where no two pairs share a label vector, or images are too small."""
    chosen = sets.compared
    side = min(chosen.train.reduced.shape[1:])
    if chosen.held_out is None or chosen.labels != "label vectors" or side < MIN_SIDE:
        return []
    couples = couples_of(chosen.strata, sets.seed)
    if not len(couples):
        return []
    same = sameness(chosen.synthetic.reduced, chosen.held_out.reduced, couples)
    values = [same.resampled(each, sets.drawn) for each in (same.synthetic, same.held_out)]
    found = [percentiles(each[~np.isnan(each)]) for each in values]
    chance = chance_of(same.differences(), sets.signs, "greater")
    return [_of("ms_ssim", found, sets, chance, real=len(chosen.held_out))]


def _traces(sets: _Sets, show: Progress) -> list[_Judged]:
    """Means of what each image has by itself: of the synthetic ones, and of the held-out ones."""
    chosen, judged = sets.compared, []
    sides = [chosen.synthetic] if chosen.held_out is None else [chosen.synthetic, chosen.held_out]
    traces = [features_of(_Traces(), pictures, show).astype(np.float64) for pictures in sides]
    for i, name in enumerate(TRACES):
        values = [trace[:, i] for trace in traces]
        means = [np.einsum("rn,n->r", sets.drawn, each) / len(each) for each in values]
        judged.append(
            _of(
                name,
                [*map(percentiles, means)],
                sets,
                chance_of(values[0] - values[-1], sets.signs, "either"),
                real=0 if chosen.held_out is None else len(chosen.held_out),
            )
        )
    return judged


@dataclass(frozen=True, slots=True)
class _Traces:
    """The traces that are figures of quality, as an extractor."""

    identity: str = "traces"

    def __call__(self, images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Floats:
        return traces_of(images)[:, [[*SIMPLE].index(trace) for trace in TRACES.values()]]


def _of(
    name: str, intervals: list[Interval], sets: _Sets, chance: float, real: int | None = None
) -> _Judged:
    return _Judged(
        name=name,
        found=intervals[0],
        floor=intervals[1] if len(intervals) > 1 else None,
        real=len(sets.train) if real is None else real,
        chance=chance,
    )
