from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import LabelTable, read_labels
from builder.split import Cohort, make_cohort, split_patients

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


def test_a_training_set_without_a_patient_is_refused() -> None:
    with pytest.raises(UsageError, match="None of the 2 patients is left for training"):
        split_patients(["patient5", "patient5", "a"], holdout=(Fraction(0), Fraction("0.999999")))


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


def test_the_rest_of_train_is_what_a_regime_leaves_out(clinic: Path) -> None:
    table = read_labels("table", labels=clinic)
    tenth = Fraction(1, 10)
    whole, half = (
        make_cohort(table, regime=Fraction(regime), holdout=(tenth, tenth)) for regime in (100, 50)
    )
    assert not len(whole.labels_by_part()["rest"])
    parts = half.labels_by_part()
    assert sum(len(labels) for labels in parts.values()) == len(table)
    beyond = np.sort(whole.split.train[len(half.split.train) :])
    assert parts["rest"].tolist() == table.labels[beyond].tolist()


# --- official splits ------------------------------------------------------------------------------


@pytest.fixture
def table(clinic: Path) -> LabelTable:
    """The clinic's 24 patients: 20 in train, 4 in test."""
    table = read_labels("table", labels=clinic)
    test = table.rows["patient"].isin(["p00", "p01", "p02", "p03"])
    return with_parts(table, np.where(test, "test", "train"))


def with_parts(table: LabelTable, parts: object) -> LabelTable:
    return replace(table, rows=table.rows.assign(split=parts))


def patients_in(cohort: Cohort, rows: np.ndarray) -> set[str]:
    return {*cohort.table.rows["patient"].iloc[rows]}


def test_an_official_split_is_used_as_it_is(table: LabelTable) -> None:
    parts = table.rows["split"].mask(table.rows["patient"] == "p20", "val")
    cohort = make_cohort(with_parts(table, parts), by="official")
    assert patients_in(cohort, cohort.split.test) == {"p00", "p01", "p02", "p03"}
    assert patients_in(cohort, cohort.split.val) == {"p20"}
    assert len(patients_in(cohort, cohort.split.train)) == 19
    assert cohort.table.notes == table.notes


def test_the_regimes_of_an_official_split_are_nested_prefixes(table: LabelTable) -> None:
    whole = make_cohort(table, by="official", holdout=(Fraction(1, 5), Fraction(1, 5)))
    for regime in (25, 50):
        part = make_cohort(
            table,
            by="official",
            regime=Fraction(regime),
            holdout=(Fraction(1, 5), Fraction(1, 5)),
        )
        rows = part.split.train.tolist()
        assert rows == whole.split.train[: len(rows)].tolist()
        assert 0 < len(rows) < len(whole.split.train)
        assert part.split.test.tolist() == whole.split.test.tolist()


def test_val_is_drawn_from_train_where_none_is_published(table: LabelTable) -> None:
    cohort = make_cohort(table, by="official", holdout=(Fraction(1, 5), Fraction(0)))
    val, train = (patients_in(cohort, r) for r in (cohort.split.val, cohort.split.train))
    assert val
    assert len(val | train) == 20
    assert not val & train
    none = make_cohort(table, by="official", holdout=(Fraction(0), Fraction(0)))
    assert not len(none.split.val)
    # A patient's place depends on seed and id alone: without the others it is the same.
    fewer = table.rows["patient"].isin([*sorted(val)[:1], *sorted(train)[:3], "p00"]).to_numpy()
    small = replace(
        table, rows=table.rows[fewer].reset_index(drop=True), labels=table.labels[fewer]
    )
    again = make_cohort(small, by="official", holdout=(Fraction(1, 5), Fraction(0)))
    assert patients_in(again, again.split.val) == {*sorted(val)[:1]}


def test_patients_in_two_official_parts_are_refused_by_name(table: LabelTable) -> None:
    parts = table.rows["split"].to_numpy(dtype=object).copy()
    for name in [f"p{i:02d}" for i in range(4, 11)]:
        parts[np.flatnonzero(table.rows["patient"] == name)[0]] = "test"
    with pytest.raises(UsageError) as caught:
        make_cohort(with_parts(table, parts), by="official")
    assert str(caught.value) == (
        "--split official puts 7 of the 24 patients into two parts (p04, p05, p06, p07, p08, …): "
        "correct the table, or use --split hash."
    )


def test_rows_without_an_official_part_are_left_out_with_a_note(table: LabelTable) -> None:
    parts = table.rows["split"].mask(table.rows["patient"] == "p10", "")
    cohort = make_cohort(
        with_parts(table, parts), by="official", holdout=(Fraction(1, 2), Fraction(0))
    )
    lost = int((parts == "").sum())
    assert lost > 0
    assert len(cohort.table) == len(cohort.table.labels) == 60 - lost
    assert "p10" not in {*cohort.table.rows["patient"]}
    assert cohort.table.notes[-1] == (
        f"{lost} of 60 images are in no part of the official split and are left out."
    )
    rows = np.concatenate([cohort.split.train, cohort.split.val, cohort.split.test])
    assert sorted(rows.tolist()) == list(range(60 - lost))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            "",
            "--split official: the table has no column split: .*--split-column, or .*--split hash",
        ),
        ("train", r"no image is in test \(60 in train, 0 in val, 0 in test\)"),
        ("test", r"no image is in train \(0 in train, 0 in val, 60 in test\)"),
    ],
)
def test_an_official_split_that_cannot_be_used_is_refused(
    table: LabelTable, parts: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_cohort(with_parts(table, parts), by="official")


def test_class_folders_that_tear_a_patient_are_named_and_no_table(table: LabelTable) -> None:
    folder = replace(table, dataset="folder")
    rows = table.rows.assign(patient="person1")
    words = r"\(person1\): correct the folders and --patient-pattern, or use --split hash"
    with pytest.raises(UsageError, match=words):
        make_cohort(replace(folder, rows=rows), by="official")


def test_class_folders_without_an_official_split_say_what_was_looked_for(table: LabelTable) -> None:
    folder = replace(table, dataset="folder", root=Path("scans"))
    with pytest.raises(UsageError, match="scans has no folders train/ and test/: check --root, or"):
        make_cohort(with_parts(folder, ""), by="official")


# --- parts that come out empty --------------------------------------------------------------------


def test_an_empty_part_is_refused_with_advice_that_works(clinic: Path) -> None:
    table = read_labels("table", labels=clinic)
    with pytest.raises(UsageError, match="None of the 24 patients falls into") as caught:
        make_cohort(table)
    words = str(caught.value).split("use ")[1]
    val, test = words.split("--holdout ")[1].split(",")[0].split()
    larger = make_cohort(table, holdout=(Fraction(val), Fraction(test)))
    assert len(larger.split.val)
    assert len(larger.split.test)
    other = make_cohort(table, seed=int(words.split("--seed ")[1].split(",")[0]))
    assert len(other.split.val)
    assert len(other.split.test)
    assert "--holdout 0 0" in words
    assert not len(make_cohort(table, holdout=(Fraction(0), Fraction(0))).split.test)


def test_a_part_that_nobody_asked_for_may_be_empty(clinic: Path) -> None:
    table = read_labels("table", labels=clinic)
    assert not len(make_cohort(table, holdout=(Fraction(1, 2), Fraction(0))).split.test)


def test_an_official_split_without_val_is_refused_where_none_is_drawn(table: LabelTable) -> None:
    few = table.rows["patient"].isin(["p00", "p05"]).to_numpy()
    small = replace(table, rows=table.rows[few].reset_index(drop=True), labels=table.labels[few])
    with pytest.raises(UsageError, match="falls into val by --holdout"):
        make_cohort(small, by="official")


def test_all_rows_of_one_patient_are_refused(table: LabelTable) -> None:
    one = replace(table, rows=table.rows.assign(patient="p\x1b1"))
    with pytest.raises(UsageError, match="All 60 images are of one patient") as caught:
        make_cohort(one)
    assert "check --patient-column, or --patient-pattern" in str(caught.value)
    assert str(caught.value).isprintable()
    nih = replace(one, dataset="nih")
    with pytest.raises(UsageError, match="check the patients in the table, or use --holdout 0 0"):
        make_cohort(nih)
    assert len(make_cohort(one, holdout=(Fraction(0), Fraction(0))).split.train) == 60
