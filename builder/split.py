"""Patients into train, val and test, and the nested regimes of the training set → Split.

Both are drawn by patient with a keyed hash. A patient's place therefore depends on the seed and the
patient's id alone: not on row order, other rows or the machine. Where a dataset has a published
split, that can be used instead; its regimes are drawn in the same way.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from builder.contract import SPLITS, Labels, UsageError, printable
from builder.labels import LabelTable

RowNumbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
SplitBy = Literal["hash", "official"]
Holdout = tuple[Fraction, Fraction]  # of the patients, in val and in test

REGIMES = (Fraction(1), Fraction(10), Fraction(50), Fraction(100))  # the paper's, in per cent
_HOLDOUT: Holdout = (Fraction(5, 100), Fraction(5, 100))
_TRIED = [Fraction(percent, 100) for percent in (5, 10, 15, 20, 30)]  # as advice for --holdout
_NAMED = 5  # patients that a message names


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Row numbers of a label table; no patient is in two of train, val and test."""

    train: RowNumbers  # the regime's rows, ordered so that a smaller regime's rows are a prefix
    val: RowNumbers  # by row number
    test: RowNumbers  # by row number
    full_boundaries: tuple[int, ...]  # ends of the paper's regimes and this one in regime 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """A label table with its patients split."""

    table: LabelTable
    split: Split

    @property
    def train_labels(self) -> Labels:
        """int8 [N, L] of the training images, in the order of `split.train`."""
        return self.table.labels[self.split.train]

    def labels_by_part(self) -> dict[str, Labels]:
        """int8 [N, L] of train, val, test, and of the rest of train that a regime leaves out."""
        split, labels = self.split, self.table.labels
        parts = {"train": split.train, "val": split.val, "test": split.test}
        rest = np.setdiff1d(np.arange(len(labels)), np.concatenate([*parts.values()]))
        return {name: labels[rows] for name, rows in {**parts, "rest": rest}.items()}


def make_cohort(
    table: LabelTable,
    *,
    by: SplitBy = "hash",
    regime: Fraction = Fraction(100),
    holdout: Holdout = _HOLDOUT,
    seed: int = 0,
) -> Cohort:
    """The table with its patients split by hash, or by the table's official split.

    Rows that have no part in the official split are left out, with a note. UsageError where train
    comes out empty, or val or test although `holdout` gives it patients.
    """
    if by == "official":
        table = _with_official_parts(table)
        split = split_patients(
            table.rows["patient"],
            regime=regime,
            holdout=holdout,
            seed=seed,
            official=table.rows["split"],
        )
    else:
        _check_patients(table, holdout)
        split = split_patients(table.rows["patient"], regime=regime, holdout=holdout, seed=seed)
    parts = zip(("val", "test"), (split.val, split.test), holdout, strict=True)
    if empty := [name for name, rows, fraction in parts if fraction and not len(rows)]:
        raise UsageError(_advice(table, empty, by, holdout, seed))
    return Cohort(table=table, split=split)


def split_patients(
    patients: Sequence[str] | pd.Series,
    *,
    regime: Fraction = Fraction(100),
    holdout: Holdout = _HOLDOUT,
    seed: int = 0,
    official: Sequence[str] | pd.Series | None = None,
) -> Split:
    """The rows of train (cut down to `regime` per cent of its patients), val and test.

    `holdout` holds the fractions of patients in val and in test. `official` names the part of each
    row instead: train, val or test; where no row is in val, val's fraction of the patients of train
    is drawn. Regimes are nested: the patients of regime 1 are among those of regime 10, and so on.
    UsageError where train comes out empty.
    """
    if not 0 < regime <= 100:
        raise UsageError(f"The regime is a percentage in (0, 100], got {float(regime):g}.")
    val, test = holdout
    if min(holdout) < 0 or val + test >= 1:
        raise UsageError(
            f"--holdout takes two fractions of at least 0 that sum to less than 1, "
            f"got {float(val):g} and {float(test):g}."
        )
    codes, distinct = pd.factorize(pd.Series(patients))
    place, rank = _hashes(distinct, seed)
    if official is None:
        in_test = place[codes] < _threshold(test)
        in_val = ~in_test & (place[codes] < _threshold(test + val))
    else:
        part = np.asarray(official, dtype=object)
        in_test, in_val = part == "test", part == "val"
        if not in_val.any():
            in_val = ~in_test & (place[codes] < _threshold(val))
    train = np.flatnonzero(~in_test & ~in_val)
    if not len(train):
        raise UsageError(
            f"None of the {len(distinct)} patients is left for training: choose a smaller "
            "--holdout, or another --seed."
        )
    # Sorted by hash, then by row: each regime's patients are a prefix, patients stay together.
    train = train[np.lexsort((train, codes[train], rank[codes[train]]))]
    ranks = rank[codes[train]]
    percents = sorted({*REGIMES, regime})
    ends = [int(np.searchsorted(ranks, _threshold(percent / 100))) for percent in percents[:-1]]
    ends.append(len(train))
    own = ends[percents.index(regime)]
    if not own:
        raise UsageError(
            f"The regime of {float(regime):g} % holds no patient of the {len(distinct)} in the "
            "table: choose a larger --regime."
        )
    return Split(
        train=train[:own],
        val=np.flatnonzero(in_val),
        test=np.flatnonzero(in_test),
        full_boundaries=tuple(ends),
    )


def _with_official_parts(table: LabelTable) -> LabelTable:
    """The rows that have a part in the official split, which must be one that can be used."""
    counts = table.rows["split"].value_counts()
    found = {name: int(counts.get(name, 0)) for name in SPLITS}
    if not any(found.values()):
        missing = {
            "table": "the table has no column split: name another one by --split-column",
            "folder": f"{table.root} has no folders train/ and test/: check --root",
        }.get(table.dataset, f"--dataset {table.dataset} has none")
        raise UsageError(f"--split official: {missing}, or use --split hash.")
    if not found["train"] or not found["test"]:
        counted = ", ".join(f"{count:,} in {name}" for name, count in found.items())
        missing = "train" if not found["train"] else "test"
        raise UsageError(
            f"--split official: no image is in {missing} ({counted}): add the table or the images "
            f"of {missing}, or use --split hash."
        )
    keep = (table.rows["split"] != "").to_numpy(dtype=bool)
    rows = table.rows[keep].reset_index(drop=True)
    parts = rows.groupby("patient", sort=False)["split"].nunique()
    if len(torn := parts.index[parts > 1]):
        names = ", ".join(printable(str(name)) for name in torn[:_NAMED])
        more = ", …" if len(torn) > _NAMED else ""
        correct = "the folders and --patient-pattern" if table.dataset == "folder" else "the table"
        raise UsageError(
            f"--split official puts {len(torn):,} of the {len(parts):,} patients into two parts "
            f"({names}{more}): correct {correct}, or use --split hash."
        )
    if keep.all():
        return table
    note = (
        f"{int((~keep).sum()):,} of {len(table):,} images are in no part of the official split and "
        "are left out."
    )
    return replace(table, rows=rows, labels=table.labels[keep], notes=(*table.notes, note))


def _check_patients(table: LabelTable, holdout: Holdout) -> None:
    """Raise UsageError where a single patient would have to be in train and elsewhere."""
    patients = table.rows["patient"]
    if any(holdout) and patients.nunique() == 1:
        options = {
            "table": "--patient-column, or --patient-pattern",
            "folder": "--patient-pattern",
        }
        check = options.get(table.dataset, "the patients in the table")
        raise UsageError(
            f"All {len(table):,} images are of one patient, {printable(str(patients.iloc[0]))!r}, "
            f"so none is left for val and test: check {check}, or use --holdout 0 0."
        )


def _advice(
    table: LabelTable, empty: Sequence[str], by: SplitBy, holdout: Holdout, seed: int
) -> str:
    """Why parts are empty, and what to do: tried, and found to give each part a patient."""
    patients = table.rows["patient"]
    said = " ".join(f"{float(fraction):g}" for fraction in holdout)
    official = table.rows["split"] if by == "official" else None

    def works(tried: Holdout, seed: int) -> bool:
        if sum(tried) >= 1:
            return False
        try:
            split = split_patients(patients, holdout=tried, seed=seed, official=official)
        except UsageError:
            return False
        parts = zip((split.val, split.test), holdout, strict=True)
        return all(len(rows) > 0 for rows, fraction in parts if fraction)

    larger = [[f for f in _TRIED if f >= own] if own else [own] for own in holdout]
    pairs = sorted(product(*larger), key=sum)
    ways = []
    for val, test in pairs:
        if works((val, test), seed):
            ways.append(f"--holdout {float(val):g} {float(test):g}")
            break
    for other in range(20):
        if works(holdout, other):
            ways.append(f"--seed {other}")
            break
    ways.append("--holdout 0 0 for none")
    return (
        f"None of the {patients.nunique():,} patients falls into {' or '.join(empty)} by --holdout "
        f"{said} and --seed {seed}: use {', or '.join(ways)}."
    )


def _hashes(
    patients: Iterable[object], seed: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Two independent uint64 per patient: its place in the split and its rank in the regimes."""
    base = hashlib.blake2b(digest_size=16, key=str(seed).encode(), person=b"patient split")
    digests = bytearray()
    for patient in patients:
        digest = base.copy()
        digest.update(str(patient).encode())
        digests += digest.digest()
    words = np.frombuffer(bytes(digests), dtype="<u8").reshape(-1, 2)
    return words[:, 0], words[:, 1]


def _threshold(fraction: Fraction) -> np.uint64:
    """The uint64 below which `fraction` of all hashes fall."""
    return np.uint64(fraction * 2**64)
