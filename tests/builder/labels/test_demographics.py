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
from builder.labels.demographics import age_bands, parse_ages
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
    assert table.column_names[-3:] == list(GROUPS)
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
