"""The words of schema 1, and what the names in a dataset may be."""

import re
from collections.abc import Sequence

from builder.contract.errors import UsageError

SCHEMA = 1
SPLITS = ("train", "val", "test")
ORIGINS = ("real", "synthetic")
FIXED_COLUMNS = ("key", "split", "origin", "shard", "offset", "size", "target", "draw", "patient")

KEY = re.compile(r"[a-z0-9_-]{1,90}")
PATIENT = re.compile(r"[0-9a-f]{16}")
NAME = re.compile(r"\w(?:[\w (),.'/+&%:-]{0,98}[\w)%])?")  # nothing that a page or plot acts on


def check_pathologies(pathologies: Sequence[str]) -> None:
    """Raise UsageError unless the names can be columns of an index."""
    for name in pathologies:
        if name in FIXED_COLUMNS or not NAME.fullmatch(name):
            raise UsageError(
                f"The pathology name {name!r} cannot be used: take letters, digits and plain signs."
            )
    if len(set(pathologies)) != len(pathologies):
        raise UsageError(f"Pathology names must differ from each other, got {list(pathologies)}.")
