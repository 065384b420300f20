"""Whole releases against a table like MIMIC's: by our scan, and by a search that knows nothing."""

import csv
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from builder.contract import CheckError, load_manifest, save_manifest
from builder.progress import progress
from builder.share.publisher import Publisher
from builder.share.release import Release, compose

NAMES = ["path", "subject_id", "view", "sex", "age", "study_id", "StudyDate", "Mass", "Edema"]


def make_table(folder: Path) -> Path:
    """60 images of 20 patients, with the numbers, dates and paths of MIMIC's kind."""
    random = np.random.default_rng(11)
    rows = []
    for i in range(60):
        subject, study = 10_000_032 + 717 * (i % 20), 50_414_267 + 9_131 * i
        scan = "-".join(f"{n:08x}" for n in random.integers(0, 2**32, 5))
        name = f"files/p{subject // 10**6}/p{subject}/s{study}/{scan}.jpg"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (40, 40), dtype=np.uint8)).save(path)
        age, date = 30 + i % 20 * 2, 21_800_506 + i * 13
        view, sex = ("PA", "AP")[i % 2], "FM"[i % 20 % 2]
        rows.append([name, subject, view, sex, age, study, date, int(i % 9 == 0), i % 2])
    with (folder / "mimic.csv").open("w", newline="") as file:
        csv.writer(file).writerows([NAMES, *rows])
    return folder / "mimic.csv"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_table(tmp_path_factory.mktemp("mimic"))


@pytest.fixture(scope="module")
def built(table: Path, xbuild: Callable[..., object]) -> Path:
    words = ["--dataset", "table", "--labels", table, "--root", table.parent, "--image-size", 32]
    words += ["--image-column", "path", "--patient-column", "subject_id"]
    words += ["--label-column", "Mass", "--label-column", "Edema", "--target", "Mass"]
    words += ["--share", "0.25", "--holdout", "0.1", "0.1", "--workers", 1, "--name", "mimic"]
    done = xbuild("synth", *words, "--generator", "phantom", "--out", table.parent / "out")
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    return table.parent / "out" / "manifests" / "mimic.json"


@pytest.fixture(scope="module")
def release(built: Path, table: Path, publisher: Publisher) -> Release:
    return compose(built, publisher, root=None, tables=[table], progress=progress)


def texts(release: Release) -> Iterator[str]:
    """Every word of every file: cells, members, values and bytes."""
    for file in release.files:
        data = file.data if file.data is not None else (file.source or Path()).read_bytes()
        yield f"{file.path}\n{data.decode('latin-1')}"
        if file.path.endswith(".parquet"):
            rows = pq.read_table(pa.BufferReader(data))
            yield f"{rows.schema}\n" + "\n".join(str(row) for row in rows.to_pylist())
        if file.path.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(data)) as shard:
                yield "\n".join(f"{m.name} {m.uname} {m.mtime} {m.linkname}" for m in shard)


def test_no_number_no_date_and_no_path_of_the_table_leaves(release: Release, table: Path) -> None:
    with table.open() as file:
        rows = list(csv.DictReader(file))
    secrets = {row[name] for row in rows for name in ("path", "subject_id", "study_id")}
    secrets |= {row["StudyDate"] for row in rows} | {Path(row["path"]).stem for row in rows}
    whole = "\n".join(texts(release))
    words = {*re.findall(r"[0-9a-zA-Z]+", whole)}
    assert not {s for s in secrets if s.isdigit()} & words
    assert not [secret for secret in secrets if not secret.isdigit() and secret in whole]
    assert str(table.parent) not in whole


def test_no_exact_age_and_no_band_of_a_patient_leaves(release: Release) -> None:
    for file in release.files:
        if file.path.endswith(".parquet"):
            assert not {"age", "sex", "view", "patient"} & {
                *pq.read_schema(pa.BufferReader(file.data)).names
            }
        if file.path.endswith(".tar"):
            assert file.source is not None
            with tarfile.open(file.source) as shard:
                for member in shard:
                    if member.name.endswith(".json"):
                        text = shard.extractfile(member)
                        assert text is not None
                        names = {*json.loads(text.read())}
                        assert names == {"key", "split", "origin", "target", "draw", "labels"}


def cells(table: Path) -> list[str]:
    """Of the first rows, what tells who it is: number, study, date, path, name, the whole row."""
    with table.open() as file:
        rows = list(csv.reader(file))[1:4]
    found = []
    for row in rows:
        number = f"patient {row[1]}"
        found += [row[0], number, row[5], row[6], Path(row[0]).stem, ",".join(row)]
    return found


def test_each_of_them_is_refused_wherever_it_stands(
    built: Path, table: Path, publisher: Publisher
) -> None:
    sealed = built.read_bytes()
    manifest = load_manifest(built)
    for cell in cells(table):
        said = replace(publisher, limitations=f"Bad for {cell}.")
        with pytest.raises(CheckError, match=r"README\.md"):
            compose(built, said, root=None, tables=[table], progress=progress)
        try:
            recipe = {**manifest.recipe, "options": [f"seed={cell}"]}
            save_manifest(replace(manifest, recipe=recipe), built)
            with pytest.raises(CheckError, match=r"manifests/mimic\.json"):
                compose(built, publisher, root=None, tables=[table], progress=progress)
        finally:
            built.write_bytes(sealed)
