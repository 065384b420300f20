"""A sealed dataset → its audit and the page: all judges, one after another.

Sealed shards are all that is read; nothing in the dataset's folders is changed. Where there are too
few real images for a judge, its part is absent and a note says why.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile

import msgspec
import numpy as np

from builder.audit.agreement import judge_agreement
from builder.audit.copies import judge_copies, too_few
from builder.audit.features import (
    ClassifierFeatures,
    Extractor,
    classifier_features,
    pixel_features,
)
from builder.audit.nearness import judge_nearness
from builder.audit.page import page, pairs_of
from builder.audit.pictures import Pictures, Sealed, open_sealed, read_pictures
from builder.audit.provenance import otherwise_split, trained_elsewhere
from builder.audit.quality import judge_quality
from builder.audit.rare import judge_rare
from builder.audit.settings import Settings
from builder.audit.shortcuts import judge_shortcuts
from builder.audit.sources import sources_here
from builder.audit.summary import summarise
from builder.contract import (
    CheckError,
    Manifest,
    UsageError,
    index_root,
    load_index,
    load_manifest,
    printable,
)
from builder.contract.audit import Audit, Copies, Nearness
from builder.progress import Progress

SHOWN = 30  # suspects, at most, with pictures on the page
REPEATS_SHOWN = 10  # repeats among the synthetic images, too

_SOFTWARE = ("cxr-rebalance", "numpy", "scipy", "scikit-learn", "pillow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be audited, and with what."""

    manifest: Path
    real: Path | None = None  # manifest of the real images; None: the dataset's own
    classifier: Path | None = None  # a file of xtrain
    sources: Mapping[str, str] | None = None  # of real images, by key
    shards_root: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """The images that judges compare; patients of `held_out` are not in `train`."""

    synthetic: Pictures
    train: Pictures
    held_out: Pictures
    digest: str  # of the audited dataset
    real: str  # of the one with the real images
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """What a user gives beside the images."""

    classifier: ClassifierFeatures | None
    sources: dict[str, str] | None  # of real images, by key


def audit_dataset(
    asked: Asked,
    settings: Settings,
    scratch: Path,
    show: Progress,
    bring: Callable[[], None] | None = None,
) -> tuple[Audit, str]:
    """The audit of a dataset, and the HTML of its page.

    `bring` is called once all else was found to fit, before the first shard is opened.
    `scratch` is a folder with room for the reduced images, of which nothing is left, or the one
    above it is taken. UsageError or CheckError, in one sentence, for what cannot be audited.
    """
    folder = next(each for each in (scratch, *scratch.absolute().parents) if each.exists())
    with TemporaryFile(dir=folder):  # one that cannot be written to is told at once
        given = read_given(asked)
    if bring is not None:
        bring()
    sides = read_sides(asked, folder, show)
    audit = _judged(sides, given, asked, settings, show)
    if audit.copies is None:
        return audit, page(audit)
    found, mine = audit.copies, sides.synthetic
    suspects = pairs_of(found.listed, mine, sides.train, SHOWN)
    repeats = pairs_of(found.duplicates_listed, mine, mine, REPEATS_SHOWN)
    return audit, page(audit, suspects, repeats)


def read_given(asked: Asked) -> Given:
    """The classifier and the sources; no shard is looked at, so a wrong file is refused at once."""
    classifier = sources = None
    if asked.classifier is not None:
        classifier = _classifier(asked.classifier, load_manifest(asked.manifest))
    if asked.sources is not None:
        path, root = (asked.real, None) if asked.real else (asked.manifest, asked.shards_root)
        manifest = load_manifest(path)
        index = load_index(manifest, index_root(manifest, path, root))
        sources = sources_here(asked.sources, index)
    return Given(classifier=classifier, sources=sources)


def read_sides(asked: Asked, folder: Path, show: Progress) -> Sides:
    """The images of both origins, with labels for the pathologies that both know, by name."""
    own = _opened(asked.manifest, asked.shards_root, show)
    other = own if asked.real is None else _opened(asked.real, None, show)
    digests = own.manifest.digest, other.manifest.digest
    synthetic = own.rows("synthetic", ["train"])
    train, held_out = other.rows("real", ["train"]), other.rows("real", ["val", "test"])
    if not len(synthetic):
        raise UsageError(
            f"{asked.manifest} has no synthetic images: there is nothing to audit; name the "
            "dataset that xbuild synth made."
        )
    if not len(train):
        which = asked.real or asked.manifest
        raise UsageError(
            f"{which} has no real training images to compare the synthetic ones with: name, by "
            "--real, the manifest of a dataset that has them, such as xbuild pack makes."
        )
    own, other, notes = aligned(asked, own, other)
    index = other.index
    both = np.isin(index.patient[held_out].astype(str), index.patient[train].astype(str))
    if both.any():
        notes += (f"{both.sum():,} held-out images are of training patients, and are left out.",)
    pictures = [
        read_pictures(sealed, rows, folder, show)
        for sealed, rows in ((own, synthetic), (other, train), (other, held_out[~both]))
    ]
    return Sides(
        synthetic=pictures[0],
        train=pictures[1],
        held_out=pictures[2],
        digest=digests[0],
        real=digests[1],
        notes=notes,
    )


def _opened(path: Path, root: Path | None, show: Progress) -> Sealed:
    with show("checking", load_manifest(path).index.rows) as advance:
        return open_sealed(path, root, advance)


def aligned(asked: Asked, own: Sealed, other: Sealed) -> tuple[Sealed, Sealed, tuple[str, ...]]:
    """Both datasets with the pathologies that both know, in one order."""
    if own is other:
        return own, other, ()
    sizes = [(each.manifest.image.height, each.manifest.image.width) for each in (own, other)]
    if sizes[0] != sizes[1]:
        one, two = (f"{height}×{width}" for height, width in sizes)
        raise UsageError(
            f"The images of {asked.manifest} have {one} pixels and those of {asked.real} {two}: "
            "pack the real images in the same size."
        )
    names = [each.manifest.pathologies for each in (own, other)]
    shared = [name for name in names[0] if name in names[1]]
    if not shared:
        raise UsageError(
            f"{asked.manifest} and {asked.real} have no pathology in common: the first has "
            f"{printable(', '.join(names[0]))}, the second {printable(', '.join(names[1]))}."
        )
    left = [name for name in (*names[0], *names[1]) if name not in shared]
    notes = otherwise_split(own.manifest, other.manifest)
    if left:
        notes += (f"Labels that only one of the two datasets has are left out: {', '.join(left)}.",)
    aligned = [each.with_pathologies(shared) for each in (own, other)]
    return aligned[0], aligned[1], notes


def _judged(sides: Sides, given: Given, asked: Asked, settings: Settings, show: Progress) -> Audit:
    """The record of what every judge found."""
    synthetic, train, held_out = sides.synthetic, sides.train, sides.held_out
    classifier = given.classifier
    elsewhere = trained_elsewhere(asked.classifier, (sides.digest, sides.real))
    extractor: Extractor = classifier or pixel_features(train)
    quality = judge_quality(synthetic, train, held_out, extractor, settings, show)
    agreement, of_labels = judge_agreement(
        synthetic,
        train,
        held_out,
        settings=settings,
        show=show,
        classifier=classifier,
    )
    shortcuts, of_shortcuts = judge_shortcuts(
        synthetic,
        train,
        held_out,
        settings=settings,
        show=show,
        sources=given.sources,
    )
    copies, nearness, of_copies = _copied(sides, settings, show)
    audit = Audit(
        schema=1,
        name=synthetic.sealed.manifest.name,
        digest=sides.digest,
        real=sides.real,
        seed=settings.seed,
        settings={name: float(value) for name, value in asdict(settings).items()},
        software=_software(classifier is not None),
        summary=(),
        quality=quality if quality.figures else None,
        agreement=agreement,
        shortcuts=shortcuts,
        copies=copies,
        nearness=nearness,
        rare=judge_rare(synthetic, train, settings=settings),
        notes=(
            *sides.notes,
            *elsewhere,
            *_of_quality(quality.figures),
            *of_labels,
            *of_shortcuts,
            *of_copies,
        ),
    )
    audit = rounded(audit)
    return replace(audit, summary=summarise(audit))


def _classifier(file: Path, manifest: Manifest) -> ClassifierFeatures:
    """The classifier in a file; UsageError where it knows none of the targets."""
    classifier = classifier_features(file)
    if not {*classifier.pathologies} & {*manifest.targets}:
        raise UsageError(
            f"{file} was trained for {printable(', '.join(classifier.pathologies))}, and none of "
            f"the targets {', '.join(manifest.targets)} is among them: name a classifier that was "
            "trained for them."
        )
    return classifier


def _of_quality(figures: Sequence[object]) -> tuple[str, ...]:
    if figures:
        return ()
    return ("There are too few real or synthetic images for figures of quality.",)


def _copied(
    sides: Sides, settings: Settings, show: Progress
) -> tuple[Copies | None, Nearness | None, tuple[str, ...]]:
    """Copies and nearness, or why they were not looked for."""
    if why := too_few(sides.train, sides.held_out, settings):
        return None, None, (why,)
    images = (sides.synthetic, sides.train, sides.held_out)
    copies = judge_copies(*images, settings=settings, show=show)
    return copies, judge_nearness(*images, settings=settings, show=show), ()


def _software(with_network: bool) -> dict[str, str]:
    names = (*_SOFTWARE, "torch") if with_network else _SOFTWARE
    return {name: version(name) for name in names}


def rounded(audit: Audit) -> Audit:
    """The audit with six digits of each number: those behind them may differ between machines.

    CheckError for a number that is not finite.
    """
    short = msgspec.convert(_six_digits(msgspec.to_builtins(audit)), Audit)
    return replace(short, settings=audit.settings)  # as they were given


def _six_digits(value: object) -> object:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise CheckError("A figure of the audit is not finite: the images cannot be judged.")
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _six_digits(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_six_digits(each) for each in value]
    return value
