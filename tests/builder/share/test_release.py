import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.contract import (
    CheckError,
    Index,
    Manifest,
    UsageError,
    load_manifest,
    save_manifest,
)
from builder.progress import progress
from builder.share.publisher import Publisher
from builder.share.release import Release, compose


def paths_of(release: Release) -> set[str]:
    return {file.path for file in release.files}


def test_a_release_holds_what_it_should_and_nothing_else(
    composed: Release, manifest: Manifest
) -> None:
    shards = [s for s in manifest.shardlist if s.origin == "synthetic"]
    count = len(shards)
    names = {f"data/train-{i:05d}-of-{count:05d}" for i in range(count)}
    assert paths_of(composed) == {
        *(f"{name}.tar" for name in names),
        *(f"{name}.idx" for name in names),
        *("README.md", "LICENSE.md", "croissant.json", "SHA256SUMS", "real.parquet"),
        *("metadata/train.parquet", "manifests/gan100.json"),
    }
    assert composed.images == sum(shard.nsamples for shard in shards)
    assert composed.real == manifest.index.rows - composed.images


def test_the_manifest_is_as_sealed(composed: Release, sealed_once: Path) -> None:
    file = next(f for f in composed.files if f.path == "manifests/gan100.json")
    assert file.data == (sealed_once / "manifests" / "gan100.json").read_bytes()
    assert composed.digest == file.sha256


def test_a_set_without_a_real_half_carries_its_index(
    nih_once: tuple[Manifest, Index, Path], publisher: Publisher
) -> None:
    manifest, _, path = nih_once
    release = compose(path, publisher, root=None, tables=[], progress=progress)
    index = next(f for f in release.files if f.path == "manifests/nih1.parquet")
    assert index.sha256 == manifest.index.sha256
    assert "real.parquet" not in paths_of(release)
    assert release.real == 0


def test_the_bytes_depend_on_the_dataset_and_the_words_alone(
    sealed: Path, composed: Release, publisher: Publisher
) -> None:
    path = sealed / "manifests" / "gan100.json"
    again = compose(path, publisher, root=None, tables=[], progress=progress)
    assert [f.sha256 for f in again.files] == [f.sha256 for f in composed.files]
    other = replace(publisher, title="Another")
    changed = compose(path, other, root=None, tables=[], progress=progress)
    assert changed.sums != again.sums
    assert changed.digest == again.digest


def test_no_patient_no_path_and_no_clock_leave(
    composed: Release, sealed_once: Path, index: Index
) -> None:
    clinic = sealed_once.parent / "clinic" / "labels.csv"
    rows = [line.split(",") for line in clinic.read_text().splitlines()[1:]]
    secrets = {row[0] for row in rows} | {str(sealed_once), str(Path.home())}
    secrets |= {patient for patient in index.patient.tolist() if patient}
    data = b"".join(file.data or (file.source or Path()).read_bytes() for file in composed.files)
    for word in secrets:  # a key may end as the name of an image does
        assert not re.search(rb"(?<![\w-])" + re.escape(word.encode()), data), word
    assert not re.search(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", data)


@pytest.mark.parametrize(
    ("change", "leak"),
    [
        ({"limitations": "See /home/anna/notes."}, "README.md holds an absolute path"),
        ({"intended_use": "Find patient00017."}, "README.md holds the number of a CheXpert"),
        ({"generator_card": "It saw a 57 year old."}, "generator.md holds the age"),
        ({"license_text": "As of 2026-11-29 10:28."}, "LICENSE.md holds a clock time"),
        ({"source_terms": "<img src='data:image/png;base64,A'>"}, "holds an image"),
    ],
)
def test_a_leak_in_the_publishers_words_is_refused(
    sealed_once: Path, publisher: Publisher, change: dict[str, str], leak: str
) -> None:
    path = sealed_once / "manifests" / "gan100.json"
    said = replace(publisher, **change)
    with pytest.raises(CheckError, match=f"Nothing was shared, .*{re.escape(leak)}"):
        compose(path, said, root=None, tables=[], progress=progress)


def test_a_leak_in_the_manifest_is_refused(sealed: Path, publisher: Publisher) -> None:
    path = sealed / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    for recipe in (
        {"options": ["lora=/home/anna/x"]},
        {"patient": "7"},
        {"made": "2026-01-01 10:00"},
    ):
        save_manifest(replace(manifest, recipe={**manifest.recipe, **recipe}), path)
        with pytest.raises(CheckError, match=r"Nothing was shared, .*manifests/gan100\.json"):
            compose(path, publisher, root=None, tables=[], progress=progress)


def test_a_rebuilt_dataset_that_tells_labels_of_real_images_is_refused(
    sealed: Path, publisher: Publisher
) -> None:
    """As those of an earlier format do."""
    path = sealed / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    told = ["real-0123456789abcdef: Edema is 1 there and 0 here.", "real-0123456789abcdef: ."]
    origin = {"name": "gan100", "differences": 2, "first_differences": told}
    save_manifest(replace(manifest, source={**manifest.source, "rebuilt_from": origin}), path)
    with pytest.raises(CheckError, match=r"\(first_differences\) holds the key of a real image"):
        compose(path, publisher, root=None, tables=[], progress=progress)


def test_a_row_of_the_table_is_refused(sealed_once: Path, publisher: Publisher) -> None:
    path = sealed_once / "manifests" / "gan100.json"
    table = sealed_once.parent / "clinic" / "labels.csv"
    line = table.read_text().splitlines()[3]
    compose(path, publisher, root=None, tables=[table], progress=progress)
    said = replace(publisher, limitations=f"Such as {line.split(',')[1]}:\n{line}")
    with pytest.raises(CheckError, match="a row of the table"):
        compose(path, said, root=None, tables=[table], progress=progress)


@pytest.mark.slow
def test_nihs_whole_table_stays_out(
    nih_once: tuple[Manifest, Index, Path], publisher: Publisher, nih_table: Path
) -> None:
    """Also by a search that knows nothing of the scan: each image name in each byte."""
    import gzip

    path = nih_once[2]
    release = compose(path, publisher, root=None, tables=[nih_table], progress=progress)
    data = b"".join(file.data or (file.source or Path()).read_bytes() for file in release.files)
    lines = gzip.decompress(nih_table.read_bytes()).decode().splitlines()[1:]
    found = {*re.findall(rb"\d{8}_\d{3}", data)}
    assert not found & {line[:12].encode() for line in lines}
    said = replace(publisher, limitations=f"Worst for {lines[4711].split(',')[0]}.")
    with pytest.raises(CheckError, match="singles out a row of the table"):
        compose(path, said, root=None, tables=[nih_table], progress=progress)


def test_sums_are_those_of_the_files(composed: Release, text_of: Callable[[str], str]) -> None:
    lines = dict(line.split("  ")[::-1] for line in text_of("SHA256SUMS").splitlines())
    assert list(lines) == sorted(lines)
    for file in composed.files[:-1]:
        data = file.data if file.data is not None else (file.source or Path()).read_bytes()
        assert lines[file.path] == file.sha256 == hashlib.sha256(data).hexdigest()
        assert file.size == len(data)


def test_shards_that_lie_elsewhere_are_found_there(
    sealed: Path, publisher: Publisher, composed: Release, tmp_path: Path
) -> None:
    (sealed / "shards").rename(tmp_path / "shards")
    path = sealed / "manifests" / "gan100.json"
    with pytest.raises(UsageError, match="--shards-root"):
        compose(path, publisher, root=None, tables=[], progress=progress)
    found = compose(path, publisher, root=tmp_path, tables=[], progress=progress)
    assert found.sums == composed.sums
