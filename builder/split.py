"""Patients into train, val and test, and the nested regimes of the training set → Split.

Both are drawn by patient with a keyed hash. A patient's place therefore depends on the seed and the
patient's id alone: not on row order, other rows or the machine.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd

from builder.contract import Labels, UsageError
from builder.labels import LabelTable

RowNumbers = npt.NDArray[np.int64]

REGIMES = (Fraction(1), Fraction(10), Fraction(50), Fraction(100))  # the paper's, in per cent


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


def split_patients(
    patients: Sequence[str] | pd.Series,
    *,
    regime: Fraction = Fraction(100),
    holdout: tuple[Fraction, Fraction] = (Fraction(5, 100), Fraction(5, 100)),
    seed: int = 0,
) -> Split:
    """The rows of train (cut down to `regime` per cent of its patients), val and test.

    `holdout` holds the fractions of patients in val and in test. Regimes are nested: the patients
    of regime 1 are among those of regime 10, and so on. UsageError where one comes out empty.
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
    in_test = place[codes] < _threshold(test)
    in_val = ~in_test & (place[codes] < _threshold(test + val))
    train = np.flatnonzero(~in_test & ~in_val)
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
