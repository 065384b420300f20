"""Samples → data.js and samples.js: all that the page asks of them, in few bytes.

A page from disk may load scripts but no other files, so data are scripts that set one variable.
Labels are bits, other columns bytes, both in base64: 300,000 samples are some megabytes, and a
browser has them in a tenth of a second. Keys and draw numbers are only needed once somebody looks,
so they come in a second file.
"""

from base64 import b64encode
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from builder.audit.pictures import Rows, Sealed
from builder.contract import GROUPS, SPLITS
from builder.contract.audit import Audit, Suspect
from builder.gallery.counts import Training, count_training
from builder.gallery.samples import ORIGINS
from builder.gallery.sheets import Tiling

_MAX_WORDS = 256  # of a column, whose cells are bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A word for each sample: `data` is base64 of its number in `words`, a byte each."""

    name: str
    words: tuple[str, ...]
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A suspect: the number of a sample, and what it repeats."""

    sample: int
    of: int  # number; -1 where it is not in the gallery
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What an audit says."""

    summary: tuple[str, ...]
    notes: tuple[str, ...]
    threshold: float
    suspects: int  # found; `copies` holds those that are listed
    copies: tuple[Pair, ...]
    duplicates_found: int
    duplicates: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The content of data.js, for N samples and L pathologies."""

    name: str
    digest: str
    generator: str
    demo: bool  # the real labels have phantoms for images
    real: bool  # there are images of patients
    size: tuple[int, int]  # width and height of the images themselves
    tile: tuple[int, int]  # of thumbnails
    across: int
    count: int
    pathologies: tuple[str, ...]
    columns: tuple[Column, ...]
    present: tuple[str, ...]  # [L] base64 of N bits, the first sample in the lowest one
    unknown: tuple[str, ...]  # the same; "" where no label is unknown
    training: Training
    audit: Judged | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The content of samples.js."""

    keys: str  # one line each
    draws: str  # base64 of int32, little-endian; -1 for real images


def data_of(sealed: Sealed, rows: Rows, layout: Tiling, audit: Audit | None) -> Data:
    """What the page is told of the samples in those rows of the index."""
    manifest, index = sealed.manifest, sealed.index
    labels = index.labels[rows]
    origins = set(index.origin[rows].tolist())
    demo = manifest.dataset == "demo" and "real" in origins
    return Data(
        name=manifest.name,
        digest=manifest.digest,
        generator=manifest.generator_name,
        demo=demo,
        real="real" in origins and not demo,
        size=(manifest.image.width, manifest.image.height),
        tile=(layout.width, layout.height),
        across=layout.across,
        count=len(rows),
        pathologies=manifest.pathologies,
        columns=_columns(sealed, rows),
        present=tuple(_bits(column == 1) for column in labels.T),
        unknown=tuple(_bits(column == -1) if (column == -1).any() else "" for column in labels.T),
        training=count_training(sealed, synthetic_only=origins == {"synthetic"}),
        audit=None if audit is None else _judged(audit, index.key[rows]),
    )


def names_of(sealed: Sealed, rows: Rows) -> Names:
    """Keys and draw numbers of the samples in those rows of the index."""
    draws = sealed.index.draw[rows].astype("<i4")  # all fit: an index with larger ones is refused
    return Names(keys="\n".join(sealed.index.key[rows].tolist()), draws=_base64(draws.tobytes()))


def script(name: str, record: Data | Names) -> bytes:
    """A classic script that sets the variable `name`."""
    return f"const {name} = ".encode() + msgspec.json.encode(record) + b";\n"


def _columns(sealed: Sealed, rows: Rows) -> tuple[Column, ...]:
    """Origin, split and target, and view, sex and age where any is known; one word tells nothing.

    Origin is always there, since the page marks images by it.
    """
    index = sealed.index
    orders = {
        "origin": ORIGINS,
        "split": SPLITS,
        "target": ("", *sealed.manifest.pathologies),
        **{name: ("", *words) for name, words in GROUPS.items()},
    }
    found = []
    for name, order in orders.items():
        words = getattr(index, name)[rows].tolist()
        there = set(words)
        used = [word for word in order if word in there]
        place = {word: number for number, word in enumerate(used)}
        if 2 <= len(used) <= _MAX_WORDS or name == "origin":
            data = np.array([place[word] for word in words], np.uint8)
            found.append(Column(name=name, words=tuple(used), data=_base64(data.tobytes())))
    return tuple(found)


def _judged(audit: Audit, keys: npt.NDArray[np.object_]) -> Judged:
    number = {key: place for place, key in enumerate(keys.tolist())}

    def pairs(listed: tuple[Suspect, ...]) -> tuple[Pair, ...]:
        return tuple(
            Pair(sample=number[s.key], of=number.get(s.of, -1), similarity=s.similarity)
            for s in listed
            if s.key in number
        )

    copies = audit.copies
    return Judged(
        summary=audit.summary,
        notes=audit.notes,
        threshold=copies.threshold if copies else 0.0,
        suspects=copies.suspects if copies else 0,
        copies=pairs(copies.listed) if copies else (),
        duplicates_found=copies.duplicates if copies else 0,
        duplicates=pairs(copies.duplicates_listed) if copies else (),
    )


def _bits(mask: npt.NDArray[np.bool_]) -> str:
    return _base64(np.packbits(mask, bitorder="little").tobytes())


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
