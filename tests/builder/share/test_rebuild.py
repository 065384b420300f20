import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builder.build import pack, read_cohort
from builder.contract import CheckError, UsageError, load_index, load_manifest
from builder.engines import painter as painting
from builder.engines.make import Work
from builder.progress import progress
from builder.recipe import RealRequest
from builder.render import render
from builder.share.lockfile import Own
from builder.share.rebuild import Outcome, rebuild
from builder.verify import verify

Hashes = Callable[[Path], dict[str, str]]


@pytest.fixture
def sent(tmp_path: Path, sealed_once: Path) -> Path:
    """A manifest with its index, in the home of somebody else."""
    folder = tmp_path / "home" / "manifests"
    folder.mkdir(parents=True)
    for ending in ("json", "parquet"):
        shutil.copy(sealed_once / "manifests" / f"gan100.{ending}", folder)
    return folder / "gan100.json"


def rebuilt(path: Path, clinic: Path, *, anyway: bool = False) -> Outcome:
    work = Work(out=path.parents[1], workers=1, skip_bad=False, progress=progress)
    return rebuild(path, Own(labels=clinic), work, anyway=anyway)


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    raw = json.loads(path.read_text())
    edit(raw)
    path.write_text(json.dumps(raw, indent=2) + "\n")
    return path


def synthetic_of(raw: dict[str, Any]) -> dict[str, Any]:
    return next(shard for shard in raw["shardlist"] if shard["origin"] == "synthetic")


def rounded(monkeypatch: pytest.MonkeyPatch, greys: int) -> None:
    """A machine whose renderings are some greys brighter."""

    def brighter(*arguments: object, **options: object) -> Iterator[Any]:
        for pixels in render(*arguments, **options):  # type: ignore[arg-type]
            yield np.minimum(pixels.astype(int) + greys, 255).astype(np.uint8)

    monkeypatch.setattr(painting, "render", brighter)


def test_two_small_files_and_the_images_become_the_same_dataset(
    sent: Path, clinic: Path, sealed_once: Path, hashes: Hashes
) -> None:
    outcome = rebuilt(sent, clinic)
    assert outcome.proof.same
    assert outcome.manifest.digest == load_manifest(sealed_once / "manifests/gan100.json").digest
    there, here = hashes(sealed_once), hashes(sent.parents[1])
    assert {name: here[name] for name in there if name.startswith("shards/")} == {
        name: sum for name, sum in there.items() if name.startswith("shards/")
    }
    assert [name for name in here if name not in there] == []
    assert list(verify(sent)) == []
    assert rebuilt(sent, clinic).here
    assert hashes(sent.parents[1]) == here


def test_a_lost_index_is_made_again(sent: Path, clinic: Path, sealed_once: Path) -> None:
    index = sent.with_suffix(".parquet")
    index.unlink()
    assert rebuilt(sent, clinic).proof.same
    assert index.read_bytes() == (sealed_once / "manifests/gan100.parquet").read_bytes()


def test_a_release_becomes_the_whole_dataset(
    shared_folder: Path, clinic: Path, sealed_once: Path
) -> None:
    path = shared_folder / "manifests" / "gan100.json"
    assert rebuilt(path, clinic).proof.same
    assert list(verify(path)) == []
    original = sealed_once / "manifests" / "gan100.parquet"
    assert path.with_suffix(".parquet").read_bytes() == original.read_bytes()


def test_the_shards_of_a_release_are_not_rendered_again(
    shared_folder: Path, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "render", None)
    path = shared_folder / "manifests" / "gan100.json"
    before = {p: p.stat().st_mtime_ns for p in shared_folder.glob("data/*")}
    assert rebuilt(path, clinic).proof.same
    assert before == {p: p.stat().st_mtime_ns for p in shared_folder.glob("data/*")}


def test_real_images_alone_are_packed_again(clinic: Path, tmp_path: Path) -> None:
    request = RealRequest(dataset="table", labels=clinic, image_size=32, holdout=("0.1", "0.1"))
    work = Work(out=tmp_path / "one", workers=1, skip_bad=False, progress=progress)
    manifest = pack(request, read_cohort(request), work)
    path = tmp_path / "two" / "manifests" / "real100.json"
    shutil.copytree(tmp_path / "one" / "manifests", path.parent)
    outcome = rebuilt(path, clinic)
    assert outcome.proof.same
    assert outcome.manifest.digest == manifest.digest
    assert list(verify(path)) == []


def test_shards_that_are_there_are_kept_and_damaged_ones_replaced(
    sealed: Path, clinic: Path, hashes: Hashes
) -> None:
    before = hashes(sealed)
    shards = sorted(sealed.glob("shards/*/*.tar"))
    shards[1].unlink()
    data = bytearray(shards[2].read_bytes())
    data[700] ^= 1
    shards[2].write_bytes(data)
    times = {path: path.stat().st_mtime_ns for path in (shards[0], *shards[3:])}
    assert rebuilt(sealed / "manifests/gan100.json", clinic).proof.same
    assert hashes(sealed) == before
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.parametrize("release", [False, True], ids=["index", "release"])
def test_another_pixel_in_one_image_is_listed(
    sent: Path, shared_folder: Path, clinic: Path, release: bool
) -> None:
    path = shared_folder / "manifests" / "gan100.json" if release else sent
    file = clinic.parent / "003.png"
    whole = file.read_bytes()
    pixels = np.asarray(Image.open(file)).copy()
    pixels[20:28, 28:36] ^= 255
    Image.fromarray(pixels).save(file)
    with pytest.raises(CheckError, match="cannot be rebuilt here: 1 difference: real-"):
        rebuilt(path, clinic)
    listed = path.parents[1] / "gan100-differences.txt"
    (line,) = listed.read_text().splitlines()
    assert ("another sha256" in line) == release
    assert not (path.parent / "gan100-rebuilt.json").exists()
    file.write_bytes(whole)
    assert rebuilt(path, clinic).proof.same
    assert not listed.exists()


def test_a_missing_image_is_named_and_anyway_seals_another_dataset(
    sent: Path, clinic: Path
) -> None:
    (clinic.parent / "004.jpg").unlink()
    with pytest.raises(CheckError, match=r"004\.jpg .missing.*leave them out by --anyway"):
        rebuilt(sent, clinic)
    outcome = rebuilt(sent, clinic, anyway=True)
    assert outcome.path.name == "gan100-rebuilt.json"
    assert any("is missing here" in each for each in outcome.proof.differences)
    assert list(verify(outcome.path)) == []
    origin = load_manifest(outcome.path).source["rebuilt_from"]
    assert origin["digest"] == load_manifest(sent).digest
    assert origin["differences"] == len(outcome.proof.differences)
    assert outcome.differences is not None
    assert outcome.differences.read_text().splitlines() == [*outcome.proof.differences]
    sealed = {shard.sha256 for shard in load_manifest(sent).shardlist}
    own = {shard.url: shard.sha256 for shard in outcome.manifest.shardlist}
    assert all(("-rebuilt/" in url) == (sum not in sealed) for url, sum in own.items())


def test_another_label_table_is_refused_with_its_field(sent: Path, clinic: Path) -> None:
    lines = clinic.read_text().splitlines()
    cells = lines[1].split(",")
    clinic.write_text("\n".join([lines[0], ",".join([*cells[:3], "0", *cells[4:]]), *lines[2:]]))
    with pytest.raises(UsageError, match=r"labels_sha256 is [0-9a-f]{64} there and .* by --labels"):
        rebuilt(sent, clinic)
    outcome = rebuilt(sent, clinic, anyway=True)
    assert any("labels_sha256" in refusal for refusal in outcome.refusals)
    assert load_manifest(outcome.path).source["rebuilt_from"]["built_with"] == [*outcome.refusals]


def test_other_software_is_refused_and_proved_where_that_is_wanted(
    sent: Path, clinic: Path
) -> None:
    change(sent, lambda raw: raw["software"].update(numpy="1.0"))
    with pytest.raises(UsageError, match=r"numpy is 1\.0 there and .* here\. Please use the same"):
        rebuilt(sent, clinic)
    outcome = rebuilt(sent, clinic, anyway=True)
    assert outcome.proof.same
    assert outcome.manifest.digest == load_manifest(sent).digest


def test_another_generator_is_refused_with_its_field(sent: Path, clinic: Path) -> None:
    change(sent, lambda raw: raw["recipe"].update(generator_sha256="0" * 64))
    with pytest.raises(UsageError, match="generator_sha256 is 0000"):
        rebuilt(sent, clinic)


def test_another_rounding_is_proved_by_sketches_and_has_another_name(
    sent: Path, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded(monkeypatch, 1)
    outcome = rebuilt(sent, clinic)
    assert outcome.proof.close
    assert outcome.proof.farthest == 1
    assert outcome.path.name == "gan100-rebuilt.json"
    assert list(verify(outcome.path)) == []
    manifest = load_manifest(outcome.path)
    assert {s.url.split("/")[1] for s in manifest.shardlist} == {"real", "gan100-rebuilt"}
    assert len(load_index(manifest, sent.parents[1])) == manifest.index.rows
    assert not (sent.parents[1] / "shards" / "gan100").exists()
    next(sent.parents[1].glob("shards/gan100-rebuilt/*.tar")).unlink()
    with pytest.raises(UsageError, match="itself rebuilt from another"):
        rebuilt(outcome.path, clinic)


def test_more_than_rounding_is_a_difference_of_every_image(
    sent: Path, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded(monkeypatch, 20)
    with pytest.raises(CheckError, match=r"its sketch is 20 greys away; rounding explains 3 at"):
        rebuilt(sent, clinic)
    manifest = load_manifest(sent)
    synthetic = sum(s.nsamples for s in manifest.shardlist if s.origin == "synthetic")
    lines = (sent.parents[1] / "gan100-differences.txt").read_text().splitlines()
    assert len(lines) == synthetic
    assert rebuilt(sent, clinic, anyway=True).path.name == "gan100-rebuilt.json"


def test_what_an_interrupted_rebuild_completed_is_kept(
    sent: Path, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(painting, "render", fails)
        with pytest.raises(KeyboardInterrupt):
            rebuilt(sent, clinic)
    workroom = sent.parents[1] / ".rebuild-gan100"
    made = {path.name: path.stat().st_ino for path in workroom.glob("shards/real/*.tar")}
    assert made
    assert rebuilt(sent, clinic).proof.same
    found = {p.name: p.stat().st_ino for p in sent.parents[1].glob("shards/real/*.tar")}
    assert found == made
    assert not workroom.exists()


def test_one_that_was_killed_at_the_very_end_is_sealed_by_the_next(
    sent: Path, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("builder.share.rebuild._seal_same", None)
        with pytest.raises(TypeError):
            rebuilt(sent, clinic)
    assert rebuilt(sent, clinic).here
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


FALSE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "source": (lambda raw: raw["source"].update(rows=61), "source has rows 61 and here it is 60"),
    "generator": (lambda raw: raw["generator"].update(latent_size=1), "generator has latent_size"),
    "name": (lambda raw: raw.update(name="gan99"), "The name in the manifest is another one"),
    "bound": (lambda raw: raw["plan"].update(lower_bound=0), "The plan in the manifest is another"),
}


@pytest.mark.parametrize("case", FALSE)
def test_a_manifest_that_tells_what_is_not_so_is_never_sealed(
    sent: Path, clinic: Path, case: str
) -> None:
    edit, message = FALSE[case]
    change(sent, edit)
    with pytest.raises(CheckError, match=message):
        rebuilt(sent, clinic)


def test_a_manifest_with_another_sum_gives_another_name(sent: Path, clinic: Path) -> None:
    change(sent, lambda raw: synthetic_of(raw).update(sha256="0" * 64))
    outcome = rebuilt(sent, clinic)
    assert outcome.proof.close
    assert outcome.path.name == "gan100-rebuilt.json"


def test_notes_of_the_table_are_told(sent: Path, clinic: Path) -> None:
    told: list[Sequence[str]] = []
    work = Work(out=sent.parents[1], workers=1, skip_bad=False, progress=progress)
    rebuild(sent, Own(labels=clinic), work, tell=told.append)
    assert len(told) == 1
