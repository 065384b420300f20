"""One shard: its entry in the manifest, the record of a sample, and the check of its bytes."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader
from pathlib import Path

from builder.contract.errors import CheckError
from builder.contract.names import Origin, Split
from builder.contract.paths import open_below, resolve
from builder.contract.record import Count, Sha256

MAX_JSON_BYTES = 1 << 16
MAX_SAMPLES = 500_000  # of a shard that is built: a reader of its notes holds them all
MIN_SAMPLE_BYTES = 2048  # in a tar: two members of a header and a block each


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """One tar: `url` is relative to the root; names as in webdataset's wids index."""

    url: str
    nsamples: Count
    filesize: Count
    sha256: Sha256
    split: Split
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was asked of one image; it travels with the pixels into tar and index."""

    key: str  # matches KEY
    split: Split
    origin: Origin
    target: str  # pathology it was rendered for; "" for real ones
    draw: int  # draw number within the target; -1 for real ones
    patient: str  # salted hash; "" for synthetic ones. Never in the tar
    labels: tuple[int, ...]  # [L] in {1, 0, -1}
    view: str = ""  # this and the next two: a word of GROUPS, "" if unknown. Never in the tar
    sex: str = ""
    age: str = ""

    def to_json(self, pathologies: Sequence[str]) -> bytes:
        """The JSON member: the same keys and types in every sample.

        No null, no patient, no path, and none of GROUPS.
        """
        target, labels = _json_parts(tuple(pathologies), self.target, self.labels)
        return (
            f'{{"key":"{self.key}","split":"{self.split}","origin":"{self.origin}",'
            f'"target":{target},"draw":{self.draw},"labels":{{{labels}}}}}'
        ).encode()


@lru_cache(maxsize=4096)  # label vectors: datasets hold some thousand
def _json_parts(
    pathologies: tuple[str, ...], target: str, labels: tuple[int, ...]
) -> tuple[str, str]:
    """A target and labels as they stand in JSON members."""
    pairs = zip(map(json.dumps, pathologies), labels, strict=True)
    return json.dumps(target), ",".join(f"{name}:{label:d}" for name, label in pairs)


def check_shard(shard: ShardEntry, root: Path) -> Path:
    """The path of a shard whose size and sha256 agree with the manifest; else CheckError."""
    with open_shard(shard, root) as file:
        check_bytes(shard, file)
    return resolve(root, shard.url)


def open_shard(shard: ShardEntry, root: Path) -> BufferedReader:
    """The file of a shard, open for reading; CheckError unless it has the size in the manifest."""
    if not resolve(root, shard.url).exists():
        raise CheckError(f"The shard {shard.url} is missing under {root}.")
    file = open_below(root, shard.url)
    if (size := os.fstat(file.fileno()).st_size) != shard.filesize:
        file.close()
        raise CheckError(f"{shard.url} has {size} bytes, the manifest says {shard.filesize}.")
    return file


def check_bytes(shard: ShardEntry, file: BufferedReader) -> None:
    """CheckError unless all that `file` reads, from its start, has the shard's sha256."""
    if hashlib.file_digest(file, "sha256").hexdigest() != shard.sha256:
        raise CheckError(f"{shard.url} is not the shard that was sealed: its sha256 differs.")
