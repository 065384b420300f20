"""The words of the schema, and what the names in a dataset may be."""

import re
from collections.abc import Sequence
from typing import Final, Literal, get_args

from builder.contract.errors import UsageError, printable

Split = Literal["train", "val", "test"]
Origin = Literal["real", "synthetic"]

SCHEMA: Final = 2  # what is written
SCHEMAS = (1, 2)  # what is read; schema 1 calls the plan's lower bound `fewest`
SPLITS: tuple[Split, ...] = get_args(Split)
ORIGINS: tuple[Origin, ...] = get_args(Origin)
FIXED_COLUMNS = ("key", "split", "origin", "shard", "offset", "size", "target", "draw", "patient")
GROUPS = {  # columns that an index may have, in this order, and their words; "" is unknown
    "view": ("frontal", "lateral", "ap", "pa"),
    "sex": ("female", "male"),
    # years, upper end excluded: the bands of Seyyed-Kalantari et al. 2021 (Nat Med 27, 2176)
    "age": ("0-20", "20-40", "40-60", "60-80", "80-"),
}

_OTHER_COLUMNS = ("sketch", "image")  # of an index, and of predictions

KEY = re.compile(r"[a-z0-9_-]{1,90}")
PATIENT = re.compile(r"[0-9a-f]{16}")
NAME = re.compile(r"\w(?:[\w (),.'/+&%:-]{0,98}[\w)%])?")  # nothing that a page or plot acts on


def check_pathologies(pathologies: Sequence[str]) -> None:
    """Raise UsageError unless the names can be columns of an index and of a table of predictions.

    Capitals do not count: many programs, and some disks, take `Edema` and `edema` for one name.
    """
    seen: dict[str, str] = {}
    for name in pathologies:
        shown, plain = printable(repr(name)), name.casefold()
        if not NAME.fullmatch(name):
            raise UsageError(
                f"The pathology name {shown} cannot be used: take letters, digits and plain signs."
            )
        if plain in (*FIXED_COLUMNS, *GROUPS, *_OTHER_COLUMNS):
            raise UsageError(
                f"The pathology name {shown} cannot be used, because the tables of a dataset have "
                "a column of that name: rename it."
            )
        if plain in seen:
            raise UsageError(
                "Pathology names must differ from each other by more than capitals, got "
                f"{printable(repr(seen[plain]))} and {shown}."
            )
        seen[plain] = name
