"""Where the tables of published datasets are looked for, and what their descriptions say."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import read_labels
from builder.labels.datasets import PUBLISHED
from builder.labels.published import About, find_table, keep_rows, main_table, official_files
from builder.labels.source import Source

ABOUT = About(
    title="Clinic",
    images=1,
    patients=1,
    labels=1,
    table=("labels.csv", "tables/labels.csv"),
    official=(("train.txt",), ("test.txt", "tables/test.txt")),
    root="images",
)


@pytest.mark.parametrize("name", [name for name, about in PUBLISHED.items() if about.shipped])
def test_the_counts_are_those_of_the_shipped_table(name: str) -> None:
    about, table = PUBLISHED[name], read_labels(name)
    more = {"padchest": 6341}.get(name, 0)  # rows that say nothing about findings
    assert len(table) + more == about.images
    assert len(table.pathologies) == about.labels - (name == "rsna")  # No Finding has a table
    if about.patients is None:
        assert table.rows["patient"].is_unique
    elif not more:
        assert table.rows["patient"].nunique() == about.patients


@pytest.mark.parametrize("place", [".", "tables", "images", "images/tables"])
@pytest.mark.parametrize("ending", ["", ".gz", ".zip"])
def test_a_table_is_found_in_the_root_and_above_it(tmp_path: Path, place: str, ending: str) -> None:
    (tmp_path / "images/tables").mkdir(parents=True)
    (tmp_path / "tables").mkdir()
    path = tmp_path / place / f"labels.csv{ending}"
    path.touch()
    source = Source(root=tmp_path / "images")
    assert find_table(source, *ABOUT.table) == path
    assert main_table(source, ABOUT) == path
    assert main_table(Source(labels=path), ABOUT) == path


def test_the_folder_of_the_labels_comes_first(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labels.csv").touch()
    source = Source(labels=tmp_path / "other", root=tmp_path / "one")
    assert main_table(source, ABOUT) == tmp_path / "other/labels.csv"


def test_a_missing_table_is_named_with_the_places(tmp_path: Path) -> None:
    where = f"it is not in {tmp_path}/one or {tmp_path}; check --root, or name the folder"
    with pytest.raises(
        UsageError, match=rf"Clinic needs its table labels\.csv \(or \.csv\.gz\): {where}"
    ):
        main_table(Source(root=tmp_path / "one"), ABOUT)
    with pytest.raises(UsageError, match="neither --labels nor --root says where it is"):
        main_table(Source(), ABOUT)


def test_every_missing_file_of_the_official_split_is_named(tmp_path: Path) -> None:
    source = Source(labels=tmp_path / "labels.csv", official=True)
    words = rf"needs train\.txt and test\.txt \(or \.txt\.gz\): they are not in {tmp_path}; .* hash"
    with pytest.raises(UsageError, match=words):
        official_files(source, ABOUT)
    (tmp_path / "train.txt").touch()
    with pytest.raises(UsageError, match=r"Clinic needs test\.txt \(or "):
        official_files(source, ABOUT)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/test.txt").touch()
    assert official_files(source, ABOUT) == [tmp_path / "train.txt", tmp_path / "tables/test.txt"]


def test_rows_are_left_out_with_their_labels_and_a_note(write_csv: Callable[[str], Path]) -> None:
    path = write_csv("image,patient,Mass\na,1,1\nb,2,0\nc,3,1\n")
    table = read_labels("table", labels=path)
    kept = keep_rows(table, pd.Series([False, True, True]), "One is left out.")
    assert kept.rows["image"].tolist() == ["b", "c"]
    assert kept.labels.tolist() == [[0], [1]]
    assert kept.notes == (*table.notes, "One is left out.")
    assert keep_rows(table, pd.Series([True] * 3), "None is.") is table
    with pytest.raises(UsageError, match=r"no row that can be used: All are\."):
        keep_rows(table, pd.Series([False] * 3), "All are.")


def test_a_folder_is_named_once_however_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    source = Source(labels=tmp_path / "scans" / "t.csv", root=Path("scans"), official=True)
    with pytest.raises(UsageError, match=rf"they are not in scans or {tmp_path}; name"):
        official_files(source, ABOUT)
