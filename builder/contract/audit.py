"""`NAME.audit.json`, what the judges found in a dataset: records that share and report read, too.

Every figure stands beside its floor: the same figure between two sets of real images, which no
generator can be expected to beat. A figure that could not be had is absent, and `notes` says why.
"""

from dataclasses import dataclass
from typing import Literal

from builder.contract.record import Count, Sha256

AUDIT_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of real against synthetic images, and of real against real ones."""

    name: str  # such as kid
    found: Interval
    floor: Interval | None  # the same between real images; None where there are too few
    synthetic: Count  # images
    real: Count  # images
    patients: Count  # of the real ones
    differs: bool  # worse than the floor, beyond what chance gives


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How like the real images the synthetic ones are, as a set."""

    extractor: str  # what made features of images, with its digest where it is a file
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well a classifier that was trained on real images finds one target."""

    target: str
    synthetic: Interval  # AUC on the synthetic images
    real: Interval | None  # AUC on held-out real images
    positives: Count  # synthetic
    negatives: Count
    disagrees: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How well a classifier tells two kinds of image apart."""

    kinds: tuple[str, str]  # such as real, synthetic; or ap, pa
    treatment: str  # what was done to both: none, blurred, re-encoded
    auc: Interval
    floor: Interval | None  # for two sets of one kind
    n: tuple[Count, Count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """One simple property that gives a kind of image away."""

    name: str  # such as sharpness
    auc: Interval  # of that property alone
    means: tuple[float, float]  # of each kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcuts:
    """Whether a classifier could learn where an image comes from in place of what it shows."""

    origin: tuple[Told, ...]  # real against synthetic
    clues: tuple[Clue, ...]  # the strongest first
    sources: tuple[Told, ...]  # among the real images
    told: bool  # beyond the threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Copies of one kind that were made of training images to see how many are found."""

    kind: str  # such as rotation up to 3°
    planted: Count
    found: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A synthetic image and the training image, or the other synthetic one, that it repeats."""

    key: str
    of: str  # key
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Suspected copies of training images."""

    threshold: float  # on similarity
    synthetic: Count  # images that were looked at
    train: Count  # images that they were compared with
    held_out: Count  # real images of other patients, that set the threshold
    accused: Count  # of the held-out ones, had they been judged by the others
    suspects: Count
    listed: tuple[Suspect, ...]  # the most similar first
    planted: tuple[Planted, ...]
    duplicates: Count  # synthetic images that repeat an earlier synthetic one
    duplicates_listed: tuple[Suspect, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """The share of synthetic images that are nearer to train than to as many held-out images."""

    share: Interval  # 0.5 where they are as near to both
    synthetic: Count
    real: Count  # on each side


@dataclass(frozen=True, slots=True, kw_only=True)
class Rare:
    """Label vectors that few patients have."""

    fewer_than: Count  # patients
    vectors: Count  # such vectors among the synthetic images' ones
    synthetic: Count  # images that have one
    listed: tuple[tuple[tuple[str, ...], Count, Count], ...]  # pathologies, patients, images


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """All that an audit found."""

    schema: Literal[1]
    name: str  # of the dataset
    digest: Sha256  # of its manifest
    real: Sha256  # digest of the manifest that the real images are from
    seed: Count
    settings: dict[str, float]  # thresholds and sizes of samples
    software: dict[str, str]
    summary: tuple[str, ...]  # five sentences
    quality: Quality | None
    agreement: tuple[Agreement, ...]
    shortcuts: Shortcuts | None
    copies: Copies | None
    nearness: Nearness | None
    rare: Rare | None
    notes: tuple[str, ...]  # why a part is absent
