"""View, sex and age band go from a label table into the sealed index, and nowhere else."""

import csv
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from builder.contract import GROUPS, ImageSpec, load_index, load_manifest
from builder.contract.radiograph import Reading
from builder.labels import LabelTable, read_labels
from builder.labels.demographics import (
    VIEWS,
    age_bands,
    demographics,
    group_words,
    parse_ages,
    sex_and_age_notes,
    view_notes,
)
from builder.pack import real_painter, real_samples
from builder.recipe import Layout
from builder.verify import verify
from builder.write import Shard, ShardJob, write_shard

Xbuild = Callable[..., subprocess.CompletedProcess[str]]

AGE = 47.8125  # years: digits that stand nowhere else


@pytest.fixture
def clinic_with_groups(clinic: Path) -> Path:
    """The clinic's table with sex and age; both are blank in its first 24 rows."""
    with clinic.open(newline="") as file:
        head, *rows = csv.reader(file)
    with clinic.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*head, "sex", "age"])
        for i, row in enumerate(rows):
            out.writerow([*row, *(("F" if i % 3 else "M", AGE) if i >= 24 else ("", ""))])
    return clinic


def test_ages_become_years_and_years_become_bands() -> None:
    cells = pd.Series(["0", "19.9", "20", "058y", "110", "110.5", "-1", "old", None], dtype="str")
    years = parse_ages(cells)
    assert years.dtype == np.float64
    assert years[:5].tolist() == [0, 19.9, 20, 58, 110]
    assert years[5:].isna().all()
    bands = ["0-20", "0-20", "20-40", "40-60", "80-", "", "", "", ""]
    assert age_bands(years).tolist() == bands


@pytest.mark.parametrize(
    ("cell", "years"),
    [
        *(("060y", 60), ("63,5", 63.5), ("85 or more", 85), ("90+", 90), (">89", 89), ("≥ 85", 85)),
        *(("57 years", 57), ("006m", 0.5), ("26 weeks", 26 / 52.18), ("85 and older", 85)),
        *(("411", None), ("40-60", None), ("1950-03-01", None), ("4 0", None), ("1e1", None)),
    ],
)
def test_ages_in_words(cell: str, years: float | None) -> None:
    (found,) = parse_ages(pd.Series([cell], dtype="str"))
    assert np.isnan(found) if years is None else found == years


@pytest.mark.parametrize(
    ("word", "view"),
    [
        *(
            ("PA", "pa"),
            ("AP", "ap"),
            ("AP_horizontal", "ap"),
            ("AP AXIAL", "ap"),
            ("PA LLD", "pa"),
        ),
        *(
            ("Frontal", "frontal"),
            ("AP ERECT", "ap"),
            ("Erect PA", "pa"),
            ("antero-posterior", "ap"),
        ),
        *(("LL", "lateral"), ("L", "lateral"), ("RL", "lateral"), (" lateral ", "lateral")),
        *(("LATERAL", "lateral"), ("XTABLE LATERAL", "lateral"), ("lat", "lateral")),
        *(("LAO", ""), ("RAO", ""), ("SWIMMERS", ""), ("COSTAL", ""), ("n/a", ""), ("unknown", "")),
    ],
)
def test_the_words_for_views(word: str, view: str) -> None:
    frame = pd.DataFrame({"ViewPosition": [word]})
    assert group_words(frame, VIEWS, "viewposition").tolist() == [view]
    assert view_notes(frame, "ViewPosition") == ()


def test_demographics_are_those_of_the_columns_that_are_named() -> None:
    frame = pd.DataFrame({"Position": ["PA", "LL"], "Gender": ["F", None], "Years": ["58Y", "-"]})
    found = demographics(frame, view="position", sex=("Sex", "Gender"), age="years")
    assert {name: column.tolist() for name, column in found.items()} == {
        "view": ["pa", "lateral"],
        "sex": ["female", ""],
        "age": ["40-60", ""],
    }
    absent = demographics(frame, view="view", sex=("Sex",), age="age")
    assert all(column.tolist() == ["", ""] for column in absent.values())


def test_unknown_views_are_counted_and_told_once() -> None:
    words = ["upside", "PA", None, "tilt\x1b", "upside", *(f"v{i}" for i in range(9))]
    frame = pd.DataFrame({"view": words}, dtype="str")
    assert group_words(frame, VIEWS, "view").tolist() == ["", "pa", *[""] * 12]
    (note,) = view_notes(frame, "view")
    assert note.startswith("No known view, so it counts as unknown: 'upside' (2 rows), ")
    assert note.endswith(" and 6 other words.")
    assert "\x1b" not in note
    assert view_notes(frame, "absent") == ()


@pytest.mark.usefixtures("clinic_with_groups")
def test_groups_reach_the_index_and_ages_only_as_bands(
    small: list[object], xbuild: Xbuild, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = xbuild(*small, "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stderr

    path = out / "manifests" / "gan100.json"
    assert list(verify(path)) == []
    manifest = load_manifest(path)
    index = load_index(manifest, out)
    real = index.origin == "real"
    assert sorted(index.age[real]) == [""] * 24 + ["40-60"] * 36
    assert sorted(index.sex[real]) == [""] * 24 + ["female"] * 24 + ["male"] * 12
    assert sorted(index.view[real]) == ["lateral"] * 12 + ["pa"] * 48
    assert all((getattr(index, name)[~real] == "").all() for name in GROUPS)

    table = pq.read_table(out / manifest.index.url)
    assert [name for name in table.column_names if name in GROUPS] == list(GROUPS)
    assert str(AGE) not in str(table.to_pylist())
    assert not any(str(AGE).encode() in p.read_bytes() for p in out.rglob("*") if p.is_file())


def test_shards_have_the_same_bytes_with_and_without_groups(
    clinic_with_groups: Path, tmp_path: Path
) -> None:
    table = read_labels("table", labels=clinic_with_groups)
    rows = range(len(table))

    def packed(name: str, table: LabelTable) -> Shard:
        image = ImageSpec(height=32, width=32, codec="png", quality=0)
        layout = Layout(root=tmp_path / name, pathologies=table.pathologies, image=image)
        job = ShardJob(
            layout=layout,
            url="shards/a.tar",
            samples=tuple(real_samples(table, rows, "train", 0)),
            painter=real_painter(table, rows, 32, Reading()),
        )
        return write_shard(job)

    known = packed("known", table)
    blank = packed("blank", replace(table, rows=table.rows.assign(view="", sex="", age="")))
    assert {stored.sample.age for stored in known.stored} == {"40-60", ""}
    assert {stored.sample.age for stored in blank.stored} == {""}
    assert known.entry == blank.entry  # the sha256 of the tar is in it


def test_a_sex_or_an_age_that_is_not_understood_is_told() -> None:
    frame = pd.DataFrame(
        {
            "Sex": ["W", "M", "w", "female", "unknown", None],
            "age": ["45 Jahre", "45Y", "300", "-", "3,5", None],
        }
    )
    sex, age = sex_and_age_notes(frame)
    assert sex == "No known sex, so it counts as unknown: 'w' (2 rows)."
    assert age.startswith("No known age, so it counts as unknown: ")
    assert "'45 jahre' (1 row)" in age
    assert "'300' (1 row)" in age
    assert "45y" not in age
    assert "'-'" not in age
    assert sex_and_age_notes(pd.DataFrame({"sex": ["F", "m"], "age": [3, 77]})) == ()
    assert sex_and_age_notes(pd.DataFrame({"image": ["a"]})) == ()
