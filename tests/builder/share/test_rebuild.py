import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder import generators
from builder.blueprint import prepare, read_cohort
from builder.build import pack, synth
from builder.contract import UsageError, load_index, load_manifest
from builder.engines import painter as painting
from builder.engines.make import Work
from builder.progress import progress
from builder.recipe import RealRequest, Request
from builder.share.lockfile import Own
from builder.share.rebuild import Outcome, rebuild
from builder.verify import verify

Hashes = Callable[[Path], dict[str, str]]
Rebuild = Callable[..., Outcome]


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    raw = json.loads(path.read_text())
    edit(raw)
    path.write_text(json.dumps(raw, indent=2) + "\n")
    return path


def test_two_small_files_and_the_images_become_the_same_dataset(
    sent: Path, sealed_once: Path, hashes: Hashes, rebuilt: Rebuild
) -> None:
    outcome = rebuilt(sent)
    assert outcome.proof.same
    assert outcome.manifest.digest == load_manifest(sealed_once / "manifests/gan100.json").digest
    there, here = hashes(sealed_once), hashes(sent.parents[1])
    assert {name: here[name] for name in there if name.startswith("shards/")} == {
        name: sum for name, sum in there.items() if name.startswith("shards/")
    }
    assert [name for name in here if name not in there] == []
    assert list(verify(sent)) == []
    assert rebuilt(sent).here
    assert hashes(sent.parents[1]) == here


def test_targets_alone_are_sealed_as_asked_and_rebuilt(
    clinic: Path, tmp_path: Path, rebuilt: Rebuild
) -> None:
    request = Request(
        dataset="table",
        labels=clinic,
        targets=("Mass", "Pleural_Thickening"),
        share="0.2",
        vectors="alone",
        holdout=("0.1", "0.1"),
        uncertain="mask",
        real="none",
        image_size=32,
    )
    work = Work(out=tmp_path / "out", workers=1, skip_bad=False, progress=progress)
    manifest = synth(prepare(request), work).manifest
    built = tmp_path / "out" / "manifests" / "gan100.json"
    index = load_index(manifest, tmp_path / "out")
    columns = [manifest.pathologies.index(str(name)) for name in index.target]
    assert (index.labels == np.eye(len(manifest.pathologies))[columns]).all()
    assert manifest.recipe["vectors"] == manifest.vectors == "alone"
    assert list(verify(built)) == []
    sent = tmp_path / "home" / "manifests" / "gan100.json"
    sent.parent.mkdir(parents=True)
    shutil.copy(built, sent)
    assert rebuilt(sent).proof.same
    assert load_manifest(sent).digest == manifest.digest


def test_a_lost_index_is_made_again(sent: Path, sealed_once: Path, rebuilt: Rebuild) -> None:
    index = sent.with_suffix(".parquet")
    index.unlink()
    assert rebuilt(sent).proof.same
    assert index.read_bytes() == (sealed_once / "manifests/gan100.parquet").read_bytes()


def test_a_release_becomes_the_whole_dataset(
    shared_folder: Path, sealed_once: Path, rebuilt: Rebuild
) -> None:
    path = shared_folder / "manifests" / "gan100.json"
    assert rebuilt(path).proof.same
    assert list(verify(path)) == []
    original = sealed_once / "manifests" / "gan100.parquet"
    assert path.with_suffix(".parquet").read_bytes() == original.read_bytes()


def test_the_shards_of_a_release_are_not_rendered_again(
    shared_folder: Path, monkeypatch: pytest.MonkeyPatch, rebuilt: Rebuild
) -> None:
    monkeypatch.setattr(painting, "render", None)
    path = shared_folder / "manifests" / "gan100.json"
    before = {p: p.stat().st_mtime_ns for p in shared_folder.glob("data/*")}
    assert rebuilt(path).proof.same
    assert before == {p: p.stat().st_mtime_ns for p in shared_folder.glob("data/*")}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator is not here, and neither is the classifier that checked its images."""

    def find(*_: object) -> None:
        raise UsageError("The generator phantom needs a file.")

    monkeypatch.setattr(generators, "find", find)


@pytest.mark.usefixtures("elsewhere")
def test_a_release_needs_neither_generator_nor_the_files_of_its_checks(
    shared_folder: Path, sealed_once: Path, rebuilt: Rebuild, hashes: Hashes
) -> None:
    path = shared_folder / "manifests" / "gan100.json"
    checks = ["finite", f"classifier:sha256:{'0' * 64}"]
    change(path, lambda raw: raw["recipe"].update(checks=checks))
    assert rebuilt(path).proof.same
    assert list(verify(path)) == []
    there, here = hashes(sealed_once / "shards"), hashes(shared_folder / "shards")
    notes = "gan100/recipe.json"
    assert {**there, notes: ""} == {**here, notes: ""}
    noted, asked = (
        json.loads((folder / "shards" / notes).read_text())
        for folder in (shared_folder, sealed_once)
    )
    assert noted == {**asked, "checks": checks}


@pytest.mark.usefixtures("elsewhere")
def test_a_recipe_that_names_no_checks_is_read(shared_folder: Path, rebuilt: Rebuild) -> None:
    path = shared_folder / "manifests" / "gan100.json"
    change(path, lambda raw: raw["recipe"].pop("checks"))
    assert rebuilt(path).proof.same


@pytest.mark.usefixtures("elsewhere")
def test_a_generator_is_needed_where_a_synthetic_shard_is_not_as_sealed(
    shared_folder: Path, rebuilt: Rebuild
) -> None:
    next(shared_folder.glob("data/*.tar")).unlink()
    with pytest.raises(UsageError, match=r"name its file by --generator. \(The generator phantom"):
        rebuilt(shared_folder / "manifests" / "gan100.json")


def test_real_images_alone_are_packed_again(clinic: Path, tmp_path: Path, rebuilt: Rebuild) -> None:
    request = RealRequest(dataset="table", labels=clinic, image_size=32, holdout=("0.1", "0.1"))
    work = Work(out=tmp_path / "one", workers=1, skip_bad=False, progress=progress)
    manifest = pack(request, read_cohort(request), work)
    path = tmp_path / "two" / "manifests" / "real100.json"
    shutil.copytree(tmp_path / "one" / "manifests", path.parent)
    outcome = rebuilt(path)
    assert outcome.proof.same
    assert outcome.manifest.digest == manifest.digest
    assert list(verify(path)) == []


def test_shards_that_are_there_are_kept_and_damaged_ones_replaced(
    sealed: Path, hashes: Hashes, rebuilt: Rebuild
) -> None:
    before = hashes(sealed)
    shards = sorted(sealed.glob("shards/*/*.tar"))
    shards[1].unlink()
    data = bytearray(shards[2].read_bytes())
    data[700] ^= 1
    shards[2].write_bytes(data)
    times = {path: path.stat().st_mtime_ns for path in (shards[0], *shards[3:])}
    assert rebuilt(sealed / "manifests/gan100.json").proof.same
    assert hashes(sealed) == before
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_what_an_interrupted_rebuild_completed_is_kept(
    sent: Path, monkeypatch: pytest.MonkeyPatch, rebuilt: Rebuild
) -> None:
    def fails(*_: object, **__: object) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(painting, "render", fails)
        with pytest.raises(KeyboardInterrupt):
            rebuilt(sent)
    workroom = sent.parents[1] / ".rebuild-gan100"
    made = {path.name: path.stat().st_ino for path in workroom.glob("shards/real/*.tar")}
    assert made
    assert rebuilt(sent).proof.same
    found = {p.name: p.stat().st_ino for p in sent.parents[1].glob("shards/real/*.tar")}
    assert found == made
    assert not workroom.exists()


def test_one_that_was_killed_at_the_very_end_is_sealed_by_the_next(
    sent: Path, monkeypatch: pytest.MonkeyPatch, rebuilt: Rebuild
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("builder.share.rebuild._seal_same", None)
        with pytest.raises(TypeError):
            rebuilt(sent)
    assert rebuilt(sent).here
    assert list(verify(sent)) == []
    assert not (sent.parents[1] / ".rebuild-gan100").exists()


def test_two_files_in_one_folder_are_enough(sent: Path, clinic: Path) -> None:
    sent.parent.rename(sent.parents[1] / "mail")
    path = sent.parents[1] / "mail" / "gan100.json"
    work = Work(out=path.parent, workers=1, skip_bad=False, progress=progress)
    outcome = rebuild(path, Own(labels=clinic), work)
    assert outcome.path == path.parent / "manifests" / "gan100.json"
    assert list(verify(outcome.path)) == []


def test_another_dataset_of_that_name_is_not_touched(
    sent: Path, clinic: Path, sealed: Path, hashes: Hashes
) -> None:
    change(sent, lambda raw: raw["source"].update(rows=61))
    before = hashes(sealed)
    work = Work(out=sealed, workers=1, skip_bad=False, progress=progress)
    with pytest.raises(UsageError, match="is another dataset than"):
        rebuild(sent, Own(labels=clinic), work)
    assert hashes(sealed) == before


def test_notes_of_the_table_are_told(sent: Path, clinic: Path) -> None:
    told: list[Sequence[str]] = []
    work = Work(out=sent.parents[1], workers=1, skip_bad=False, progress=progress)
    rebuild(sent, Own(labels=clinic), work, tell=told.append)
    assert len(told) == 1
