"""A rebuilt dataset against its manifest → all differences, sample by sample.

A shard with the sealed sha256 is proved. In any other, a synthetic image must have the labels and
the draw it had and look as it looked, and a real one must be the same bytes.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builder.contract import Index, Manifest, printable, sketch_distance
from builder.contract.sketch import SKETCH_BYTES
from builder.share.known import Fact, Known, facts_of

RENDER_DISTANCE = 3
"""Greys by which the sketches of two renderings of one image may differ, where a CPU or GPU rounds
otherwise. Measured on 1,024 images of nih64: 0 with another number of threads, 1 or less in all but
one image, and 2 there, for bfloat16 against float32; the nearest other image is 10 away, among
phantoms 12.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A dataset that was built again, under a root of its own."""

    manifest: Manifest
    index: Index
    root: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a comparison found."""

    equal: frozenset[str]  # urls of the shards with the sealed sha256
    same: bool  # whether the manifest and its index hold for the rebuilt dataset as they are
    differences: tuple[str, ...]  # one sentence each
    farthest: int  # greys between sketches of one image

    @property
    def close(self) -> bool:
        """Whether nothing but rounding differs."""
        return not self.same and not self.differences


def prove(manifest: Manifest, known: Known | None, rebuilt: Rebuilt) -> Proof:
    """In what the rebuilt dataset differs from the one that the manifest describes."""
    sealed = {shard.url: shard.sha256 for shard in manifest.shardlist}
    found = {shard.url: shard.sha256 for shard in rebuilt.manifest.shardlist}
    equal = frozenset(url for url, sha256 in found.items() if sealed.get(url) == sha256)
    differences = [*_facts(manifest, rebuilt.manifest)]
    farthest = 0
    whole = list(sealed) == list(found) and len(equal) == len(sealed)
    if whole and manifest.index.sha256 == rebuilt.manifest.index.sha256:
        return Proof(equal=equal, same=not differences, differences=(*differences,), farthest=0)
    if known is None:
        differences.append(
            f"{manifest.index.url} is not here, so no sample can be compared: get it from where "
            "the manifest comes from."
        )
    else:
        comparison = _Comparison(manifest=manifest, known=known, rebuilt=rebuilt, equal=equal)
        differences += comparison.differences()
        farthest = comparison.farthest
        if known.index is None and whole:
            differences.append(
                f"{manifest.index.url} is not here and cannot be made again with the same bytes, "
                "so views, sexes, ages and patients cannot be compared."
            )
    same = whole and not differences
    return Proof(equal=equal, same=same, differences=tuple(differences), farthest=farthest)


def _facts(there: Manifest, here: Manifest) -> Iterator[str]:
    """What differs in the manifests besides recipe and software, which were looked at before."""
    for name in ("name", "pathologies", "image", "plan"):
        if getattr(there, name) != getattr(here, name):
            yield f"The {name} in the manifest is another one than here."
    for part in ("source", "generator"):
        one, other = (getattr(each, part) or {} for each in (there, here))
        for name in one:
            if one[name] != other.get(name):
                told, found = (printable(json.dumps(each.get(name))) for each in (one, other))
                yield f"The manifest's {part} has {printable(name)} {told} and here it is {found}."


@dataclass(slots=True, kw_only=True)
class _Comparison:
    manifest: Manifest
    known: Known
    rebuilt: Rebuilt
    equal: frozenset[str]
    farthest: int = 0

    def differences(self) -> Iterator[str]:
        """One sentence for each difference, in sealed order."""
        index = self.rebuilt.index
        here = dict(facts_of(index, {}))
        row_of = {key: row for row, key in enumerate(here)}
        silent = {s.url for s in self.rebuilt.manifest.shardlist if s.origin == "real"} - self.equal
        for key, fact in self.known.facts.items():
            if key not in here:
                yield f"{printable(key)} is missing here."
                continue
            row = row_of[key]
            found = [*self._words(fact, here[key]), *self._pixels(fact, here[key], row)]
            yield from (f"{key}: {each}." for each in found)
            if found:
                silent.discard(str(index.shard[row]))
        for key in here:
            if key not in self.known.facts:
                yield f"{key} is here and not in the manifest's dataset."
                silent.discard(str(index.shard[row_of[key]]))
        for url in sorted(silent):
            yield (
                f"{url} has another sha256, though each of its real images has the size and the "
                "sketch it had: some pixel or label differs."
            )

    def _words(self, there: Fact, here: Fact) -> Iterator[str]:
        """What differs in all but the pixels."""
        for name in ("split", "origin", "target", "draw"):
            one, other = getattr(there, name), getattr(here, name)
            if one is not None and one != other:
                yield f"its {name} is {printable(str(one))} there and {other} here"
        if there.people is not None and there.people != here.people:
            yield "its patient, view, sex or age differs"
        if there.labels is not None and here.labels is not None:
            for name, one, other in zip(
                self.manifest.pathologies, there.labels, here.labels, strict=True
            ):
                if one != other:
                    yield f"{name} is {one} there and {other} here"

    def _pixels(self, there: Fact, here: Fact, row: int) -> Iterator[str]:
        """What differs in its pixels; those in a proved shard are equal."""
        url = str(self.rebuilt.index.shard[row])
        if url in self.equal:
            return
        if there.origin == "real":
            yield from self._real(there, here, row)
        elif there.sketch is None:
            yield "it has no sketch that could be compared"
        elif (distance := self._distance(there.sketch, row)) > RENDER_DISTANCE:
            yield (
                f"its sketch is {distance} greys away; rounding explains {RENDER_DISTANCE} at most"
            )

    def _real(self, there: Fact, here: Fact, row: int) -> Iterator[str]:
        if there.sha256 is not None:
            if there.sha256 != self._sha256(row):
                yield "its image has another sha256"
        elif there.size is not None and there.size != here.size:
            yield f"its image has {there.size:,} bytes there and {here.size:,} here"
        elif there.sketch is not None and there.sketch != here.sketch:
            yield f"its sketch is {self._distance(there.sketch, row)} greys away"

    def _distance(self, sketch: bytes, row: int) -> int:
        one = np.frombuffer(sketch, np.uint8).reshape(1, SKETCH_BYTES)
        distance = int(sketch_distance(one, self.rebuilt.index.sketch[row : row + 1])[0])
        self.farthest = max(self.farthest, distance)
        return distance

    def _sha256(self, row: int) -> str:
        """The sha256 of an image member."""
        index = self.rebuilt.index
        with (self.rebuilt.root / str(index.shard[row])).open("rb") as file:
            file.seek(int(index.offset[row]))
            return hashlib.sha256(file.read(int(index.size[row]))).hexdigest()
