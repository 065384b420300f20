"""View, sex and age band go from a label table into the sealed index, and nowhere else."""

import csv
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from builder.contract import GROUPS, ImageSpec, Sample, load_index, load_manifest
from builder.labels import read_labels
from builder.pack import FilePainter, real_samples
from builder.recipe import Layout
from builder.verify import verify
from builder.write import Shard, ShardJob, write_shard

Xbuild = Callable[..., subprocess.CompletedProcess[str]]

AGE = 47.8125  # years: digits that stand nowhere else


def add_groups(clinic: Path) -> None:
    """Add sex and age to the clinic's table; both are blank in its first 24 rows."""
    with clinic.open(newline="") as file:
        head, *rows = csv.reader(file)
    with clinic.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*head, "sex", "age"])
        for i, row in enumerate(rows):
            out.writerow([*row, *(("F" if i % 3 else "M", AGE) if i >= 24 else ("", ""))])


def test_groups_reach_the_index_and_ages_only_as_bands(
    clinic: Path, small: list[object], xbuild: Xbuild, tmp_path: Path
) -> None:
    add_groups(clinic)
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


def test_shards_have_the_same_bytes_with_and_without_groups(clinic: Path, tmp_path: Path) -> None:
    add_groups(clinic)
    table = read_labels("table", labels=clinic)
    unknown = replace(table, rows=table.rows.assign(view="", sex="", age=""))
    names = table.rows["file"].tolist()

    def packed(name: str, samples: tuple[Sample, ...]) -> Shard:
        spec = ImageSpec(height=32, width=32, codec="png", quality=0)
        layout = Layout(root=tmp_path / name, pathologies=table.pathologies, image=spec)
        painter = FilePainter(folder=clinic.parent, names=tuple(names), image_size=32)
        return write_shard(
            ShardJob(layout=layout, url="shards/a.tar", samples=samples, painter=painter)
        )

    rows = range(len(table))
    known = packed("known", tuple(real_samples(table, rows, "train", 0)))
    blank = packed("blank", tuple(real_samples(unknown, rows, "train", 0)))
    assert {stored.sample.age for stored in known.stored} == {"40-60", ""}
    assert {stored.sample.age for stored in blank.stored} == {""}
    assert known.entry == blank.entry  # the sha256 of the tar is in it
