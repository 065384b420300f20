"""Whether real and synthetic images, or sources of real images, can be told apart, and by what.

A classifier may learn where an image comes from in place of what it shows (Zech 2018; DeGrave
2021). The probe's AUC is a lower bound of what a larger network could tell.
"""

from collections.abc import Mapping

import numpy as np

from builder.audit.chance import some
from builder.audit.features import Floats, features_of, pixel_features
from builder.audit.matching import Alike, alike
from builder.audit.pictures import Pictures
from builder.audit.probe import Auc, Mask, Names, auc_of, cross_scores
from builder.audit.settings import Settings
from builder.audit.sources import sources_of
from builder.audit.traces import SIMPLE, Traced, simple_of
from builder.audit.treatments import TREATMENTS
from builder.contract.audit import Clue, Interval, Shortcuts, Told
from builder.progress import Progress

ENOUGH = 50  # images, at least, of each kind
PATIENTS = 10  # that they are of, at least


def judge_shortcuts(
    synthetic: Pictures,
    train: Pictures,
    held_out: Pictures,
    *,
    settings: Settings,
    show: Progress,
    sources: Mapping[str, str] | None = None,
) -> tuple[Shortcuts | None, tuple[str, ...]]:
    """The shortcuts, None where there are too few images, and notes on what was left out.

    The probe goes by pixels and traces. Real images are those with the labels of synthetic ones
    where there are enough; the floor is train against held-out real images, made in the same way.
    `sources` are names of sources of real images by key, besides view, sex and age.
    """
    notes: list[str] = []
    targets = synthetic.sealed.manifest.targets
    pair = alike(train, synthetic, targets, settings.sample, settings.seed)
    if not _enough(pair):
        return None, (
            f"Shortcuts were not looked for: that takes {ENOUGH} images of each kind with the same "
            f"labels, the real ones of {PATIENTS} patients; there are {len(pair.first):,} of "
            f"{len(train):,} real and {len(synthetic):,} synthetic ones.",
        )
    floor: Alike | None = alike(train, held_out, targets, settings.sample, settings.seed)
    if floor is not None and not _enough(floor):
        notes.append(
            f"Real against synthetic images has no floor: it takes {ENOUGH} held-out real images of"
            f" {PATIENTS} patients."
        )
        floor = None
    traced = Traced(of=pixel_features(train))
    told, clues = _origin(traced, pair, floor, settings, show)
    among, more = _sources(train, traced, told[0].floor, settings, show, sources)
    shortcuts = Shortcuts(
        extractor=traced.identity,
        alike=pair.what,
        origin=tuple(told),
        clues=clues,
        sources=among,
        told=any(told_apart(each, settings.told) for each in told),
    )
    return shortcuts, (*notes, *more)


def _origin(
    traced: Traced, pair: Alike, floor: Alike | None, settings: Settings, show: Progress
) -> tuple[list[Told], tuple[Clue, ...]]:
    """Real against synthetic images after each treatment, and what gives them away as they are."""
    told: list[Told] = []
    clues: tuple[Clue, ...] = ()
    for treatment, treat in TREATMENTS.items():
        features = [features_of(traced, side, show, treat) for side in (pair.first, pair.second)]
        if treat is None:
            clues = _clues(features, pair, settings)
        found = _told(features, pair, settings)
        base = None
        if floor is not None:
            sides = [features_of(traced, side, show, treat) for side in (floor.first, floor.second)]
            base = _told(sides, floor, settings)
        told.append(
            Told(
                kinds=("real", "synthetic"),
                treatment=treatment,
                auc=found,
                floor=base,
                n=(len(pair.first), len(pair.second)),
            )
        )
    return told, clues


def _enough(pair: Alike) -> bool:
    sides = (pair.first, pair.second)
    people = min(len(np.unique(side.patients.astype(str))) for side in sides)
    return min(map(len, sides)) >= ENOUGH and people >= PATIENTS


def told_apart(told: Told, least: float) -> bool:
    """Whether the AUC is at least that, and above what chance makes of two sets of one kind."""
    chance = max(0.5, told.floor.high if told.floor else 0.5)
    return told.auc.value >= least and told.auc.low > chance


def _told(features: list[Floats], pair: Alike, settings: Settings) -> Interval:
    """The AUC with which the probe tells the second side from the first."""
    second, patients = _sides(pair)
    scores = cross_scores(np.concatenate(features), second, patients, settings.seed)
    found = auc_of(scores, second, patients, resamples=settings.resamples, seed=settings.seed)
    return found.crossed().interval()


def _sides(pair: Alike) -> tuple[Mask, Names]:
    """Which images are of the second side, and whose they are, the first ones first."""
    second = np.arange(len(pair.first) + len(pair.second)) >= len(pair.first)
    return second, np.concatenate([pair.first.patients, pair.second.patients])


def _clues(features: list[Floats], pair: Alike, settings: Settings) -> tuple[Clue, ...]:
    """The simple properties, the strongest first."""
    second, patients = _sides(pair)
    real, fake = (simple_of(part).astype(float) for part in features)
    clues = []
    for i, name in enumerate(SIMPLE):
        found = auc_of(
            np.concatenate([real[:, i], fake[:, i]]),
            second,
            patients,
            resamples=settings.resamples,
            seed=settings.seed,
        )
        means = (float(real[:, i].mean()), float(fake[:, i].mean()))
        clues.append(Clue(name=name, auc=_either(found).interval(), means=means))
    return tuple(sorted(clues, key=lambda clue: -clue.auc.value))


def _either(found: Auc) -> Auc:
    """In the direction that tells more: a low value may mark the synthetic images, too."""
    if found.value >= 0.5:
        return found
    return Auc(value=1 - found.value, resampled=1 - found.resampled)


def _sources(
    train: Pictures,
    traced: Traced,
    floor: Interval | None,
    settings: Settings,
    show: Progress,
    sources: Mapping[str, str] | None,
) -> tuple[tuple[Told, ...], tuple[str, ...]]:
    """How well each source among the real images is told from the others of its kind."""
    sample = train.take(some(len(train), settings.sample, settings.seed, "sources"))
    contrasts, notes = sources_of(sample, sources)
    if not contrasts:
        return (), notes
    features = features_of(traced, sample, show)
    found = []
    for each in contrasts:
        mine, patients = each.positive[each.known], sample.patients[each.known]
        scores = cross_scores(features[each.known], mine, patients, settings.seed)
        auc = auc_of(scores, mine, patients, resamples=settings.resamples, seed=settings.seed)
        found.append(
            Told(
                kinds=each.kinds,
                treatment="none",
                auc=auc.crossed().interval(),
                floor=floor,
                n=(int(mine.sum()), int((~mine).sum())),
            )
        )
    return tuple(found), notes
