"""`audits/NAME.audit.json`: what judges found in a dataset, also read by share and report.

`audits/` lies in the dataset's root, next to `manifests/`: nothing there is taken for a manifest.
Every figure stands beside its floor: the same figure between two sets of real images, which no
generator can be expected to beat. A figure that could not be had is absent, and `notes` says why.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from builder.contract.errors import CheckError, printable
from builder.contract.names import KEY
from builder.contract.new_file import write_last
from builder.contract.paths import dataset_root
from builder.contract.record import Count, Sha256, as_record, parse_json, read_bytes, to_json

AUDIT_SCHEMA = 1
AUDITS = "audits"  # the folder in a dataset's root
MAX_AUDIT = 16 << 20  # bytes of a file
MAX_SENTENCES = 9  # of a summary; there are five


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
    compared: str  # what was compared with what; "" where there were too few images
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well a classifier that was trained on real images finds one target."""

    target: str
    classifier: str  # a file of xtrain, or the probe and its features
    synthetic: Interval  # AUC on the synthetic images
    real: Interval | None  # AUC on real images of other patients; None where there are too few
    positives: Count  # synthetic
    negatives: Count
    real_positives: Count
    real_negatives: Count
    tells: bool  # the classifier finds the target in real images: otherwise nothing follows
    disagrees: bool  # it does, but finds it less well in synthetic ones, beyond chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How well a classifier tells two kinds of image apart."""

    kinds: tuple[str, str]  # such as real, synthetic; or ap, pa
    treatment: str  # what was done to both: none, blurred, re-encoded, rescaled
    auc: Interval
    floor: Interval | None  # for two sets of one kind; None where there are too few images
    n: tuple[Count, Count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """One simple property that gives a kind of image away."""

    name: str  # such as sharpness
    auc: Interval  # of that property alone, in the direction that tells more
    means: tuple[float, float]  # of real and of synthetic images


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcuts:
    """Whether a classifier could learn where an image comes from in place of what it shows."""

    extractor: str  # what the probe goes by
    alike: str  # the same on both sides: label vectors, labels for the targets, nothing
    origin: tuple[Told, ...]  # real against synthetic
    clues: tuple[Clue, ...]  # the strongest first
    sources: tuple[Told, ...]  # among the real images
    told: bool  # real against synthetic beyond the threshold and the floor, treated or not


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
    similarity: float  # spreads above the usual similarity of held-out images


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Suspected copies of training images."""

    threshold: float  # on similarity
    synthetic: Count  # images that were looked at
    train: Count  # images that they were compared with
    held_out: Count  # real images of other patients that set the threshold
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


def audit_path(manifest_path: Path, name: str, folder: Path | None = None) -> Path:
    """Where the record of an audit is written: `folder`, or audits/ in the dataset's root."""
    return (folder or dataset_root(manifest_path) / AUDITS) / f"{name}.audit.json"


def page_path(record: Path) -> Path:
    """The page next to the record of an audit."""
    return record.with_name(f"{record.name.removesuffix('.json')}.html")


def audit_bytes(audit: Audit) -> bytes:
    """The file of an audit, the same for the same audit; CheckError for one that is not valid."""
    data = to_json(audit).encode()
    _parsed(data, f"The audit of {audit.name}")
    return data


def write_audit(audit: Audit, path: Path) -> None:
    """Write the record of an audit, complete or not at all."""
    write_last(path, audit_bytes(audit))


def read_audit(path: Path) -> Audit:
    """The audit in the file `path`, every field checked; CheckError says what is wrong with it."""
    return _parsed(read_bytes(path, MAX_AUDIT), str(path))


def _parsed(data: bytes, what: str) -> Audit:
    raw = parse_json(data, what)
    if not isinstance(raw, dict) or "summary" not in raw:
        raise CheckError(f"{what} is no audit: name the NAME.audit.json that xbuild audit writes.")
    schema = raw.get("schema")
    if isinstance(schema, bool) or schema != AUDIT_SCHEMA:
        found = printable(repr(schema))
        raise CheckError(f"{what} has schema {found}; this version reads schema {AUDIT_SCHEMA}.")
    audit = as_record(raw, Audit, f"{what} (an audit of schema {schema})")
    if not KEY.fullmatch(audit.name):
        raise CheckError(f"{what}: the name {printable(repr(audit.name))} is not plain.")
    if not 1 <= len(audit.summary) <= MAX_SENTENCES:
        raise CheckError(f"{what} has a summary of {len(audit.summary)} sentences.")
    return audit
