"""What is known of a dataset's samples without its shards → Known.

The sealed index says it of every sample. In a release, which has no index, the table of the
synthetic images and the list of the real ones say it, and nothing of views, sexes and ages.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from builder.contract import GROUPS, Index, Manifest, index_root, load_index
from builder.share.metadata import METADATA, REAL, read_metadata, read_real


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One sample; None is not known."""

    split: str
    origin: str
    target: str | None = None
    draw: int | None = None
    labels: tuple[int, ...] | None = None
    people: tuple[str, ...] | None = None  # hash of the patient, then the words of GROUPS
    size: int | None = None  # bytes of the image member
    sketch: bytes | None = None
    sha256: str | None = None  # of the image member


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The facts by key, in sealed order."""

    facts: dict[str, Fact]
    index: Path | None  # the sealed index, if it is here

    def sketches(self, keys: list[str]) -> bytes | None:
        """The sketches of these samples one after the other; None where one is not known."""
        found = [self.facts[key].sketch if key in self.facts else None for key in keys]
        return None if None in found else b"".join(each for each in found if each)


def read_known(manifest: Manifest, path: Path) -> Known | None:
    """What lies next to the manifest in the file `path`; None where that is nothing.

    CheckError where it does not agree with the manifest.
    """
    root = index_root(manifest, path, None)
    real = {}
    if (root / REAL).is_file():
        count = sum(s.nsamples for s in manifest.shardlist if s.origin == "real")
        real = {row.key: row for row in read_real(root / REAL, count)}
    beside = path.with_name(PurePosixPath(manifest.index.url).name)  # both were sent as files
    if not (root / manifest.index.url).is_file() and beside.is_file():
        root = path.parent
        manifest = replace(manifest, index=replace(manifest.index, url=beside.name))
    if (root / manifest.index.url).is_file():
        sums = {key: row.sha256 for key, row in real.items()}
        facts = dict(facts_of(load_index(manifest, root), sums))
        return Known(facts=facts, index=root / manifest.index.url)
    if not (root / METADATA).is_file():
        return None
    count = sum(s.nsamples for s in manifest.shardlist if s.origin == "synthetic")
    rows = read_metadata(root / METADATA, count, manifest.pathologies)
    facts = {
        key: Fact(split=row.split, origin="real", sha256=row.sha256) for key, row in real.items()
    }
    for i, key in enumerate(rows.key):
        facts[key] = Fact(
            split="train",
            origin="synthetic",
            target=rows.target[i],
            draw=rows.draw[i],
            labels=rows.labels[i],
            size=rows.size[i],
            sketch=rows.sketch[i] if rows.sketch else None,
        )
    return Known(facts=facts, index=None)


def facts_of(index: Index, sums: dict[str, str]) -> Iterator[tuple[str, Fact]]:
    """Key and fact of each sample of an index, in its order; `sums` are sha256 by key."""
    people = zip(*(getattr(index, name).tolist() for name in ("patient", *GROUPS)), strict=True)
    columns = (index.key, index.split, index.origin, index.target, index.draw, index.size)
    rows = zip(
        *(column.tolist() for column in columns),
        index.labels.tolist(),
        index.sketch,
        people,
        strict=True,
    )
    for key, split, origin, target, draw, size, labels, sketch, who in rows:
        yield (
            key,
            Fact(
                split=split,
                origin=origin,
                target=target,
                draw=draw,
                labels=tuple(labels),
                people=who,
                size=size,
                sketch=sketch.tobytes() or None,
                sha256=sums.get(key),
            ),
        )
