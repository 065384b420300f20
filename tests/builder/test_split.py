from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import read_labels
from builder.split import Cohort, split_patients

PATIENTS = [f"patient{i // 3}" for i in range(30_000)]


def test_no_patient_is_in_two_parts_and_none_is_lost() -> None:
    split = split_patients(PATIENTS)
    parts = [split.train, split.val, split.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(PATIENTS)))
    names = [{PATIENTS[i] for i in part} for part in parts]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    # 10,000 patients: five standard deviations around 90/5/5
    assert abs(len(names[1]) - 500) < 110
    assert abs(len(names[2]) - 500) < 110


def test_regimes_are_nested_prefixes() -> None:
    whole = split_patients(PATIENTS)
    for percent in (1, 10, 25, 50, 0.5):
        part = split_patients(PATIENTS, regime=Fraction(str(percent)))
        assert part.train.tolist() == whole.train[: len(part.train)].tolist()
        expected = len(whole.train) * percent / 100
        assert abs(len(part.train) - expected) < 6 * (9 * expected / 3) ** 0.5
        assert part.val.tolist() == whole.val.tolist()
        assert len(part.train) in part.full_boundaries


def test_boundaries_are_the_papers_regimes_and_ones_own() -> None:
    ends = [len(split_patients(PATIENTS, regime=Fraction(r)).train) for r in (1, 10, 25, 50, 100)]
    split = split_patients(PATIENTS, regime=Fraction(25))
    assert len(split.train) == ends[2]
    assert split.full_boundaries == tuple(ends)


def test_a_patients_place_depends_on_nothing_but_seed_and_id() -> None:
    def place(patients: list[str], seed: int = 0) -> dict[str, str]:
        split = split_patients(patients, seed=seed)
        parts = {"train": split.train, "val": split.val, "test": split.test}
        return {patients[i]: name for name, rows in parts.items() for i in rows}

    known = place(PATIENTS)
    shuffled = place([*reversed(PATIENTS), "someone else"])
    assert all(shuffled[patient] == part for patient, part in known.items())
    assert place(PATIENTS, seed=1) != known
    # On every machine and version: these were read off once, so a change of the hash shows.
    first = [f"patient{i}" for i in range(40)]
    assert [p for p in first if known[p] == "test"] == ["patient5"]


def test_holdout_changes_the_fractions() -> None:
    split = split_patients(PATIENTS, holdout=(Fraction(0), Fraction(0)))
    assert len(split.train) == len(PATIENTS)
    assert not len(split.val)
    assert not len(split.test)
    half = split_patients(PATIENTS, holdout=(Fraction(1, 2), Fraction(0)))
    assert abs(len(half.val) / len(PATIENTS) - 0.5) < 0.03


@pytest.mark.parametrize("regime", ["0", "-1", "100.5"])
def test_an_unknown_regime_is_refused(regime: str) -> None:
    with pytest.raises(UsageError, match=r"in \(0, 100\]"):
        split_patients(PATIENTS, regime=Fraction(regime))


def test_a_regime_without_a_patient_is_refused() -> None:
    with pytest.raises(UsageError, match="holds no patient"):
        split_patients(["a", "b"], regime=Fraction("0.001"))


@pytest.mark.parametrize("holdout", [("0.5", "0.5"), ("-0.1", "0"), ("1", "0")])
def test_impossible_holdouts_are_refused(holdout: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="--holdout"):
        split_patients(PATIENTS, holdout=(Fraction(holdout[0]), Fraction(holdout[1])))


def test_patients_may_come_as_a_series_and_order_of_rows_is_kept_within_a_patient() -> None:
    split = split_patients(pd.Series(PATIENTS))
    rows = split.train.tolist()
    for first, second in pairwise(rows):
        if PATIENTS[first] == PATIENTS[second]:
            assert second > first


def test_a_cohort_gives_the_labels_of_its_training_images(clinic: Path) -> None:
    table = read_labels("table", labels=clinic)
    split = split_patients(table.rows["patient"], regime=Fraction(50))
    cohort = Cohort(table=table, split=split)
    assert cohort.train_labels.tolist() == [table.labels[row].tolist() for row in split.train]
