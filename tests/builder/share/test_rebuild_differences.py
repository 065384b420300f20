"""What a rebuild refuses, lists, and seals under another name."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builder.contract import CheckError, UsageError, load_index, load_manifest, save_manifest
from builder.engines import painter as painting
from builder.render import render
from builder.share.rebuild import Outcome
from builder.verify import verify

Rebuild = Callable[..., Outcome]


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
        for images in render(*arguments, **options):  # type: ignore[arg-type]
            yield np.minimum(images.astype(int) + greys, 255).astype(np.uint8)

    monkeypatch.setattr(painting, "render", brighter)


def test_a_dataset_that_has_the_name_of_what_may_come_out_stays(
    sent: Path, rebuilt: Rebuild
) -> None:
    other = sent.with_name("gan100-rebuilt.json")
    manifest = load_manifest(sent)
    for origin in ({}, {"rebuilt_from": {"digest": "0" * 64}}, {"rebuilt_from": "x"}):
        source = {**manifest.source, **origin}
        save_manifest(replace(manifest, name="gan100-rebuilt", source=source), other)
        before = other.read_bytes()
        with pytest.raises(UsageError, match=r"gan100-rebuilt\.json is another dataset than"):
            rebuilt(sent, anyway=True)
        assert other.read_bytes() == before
    assert not (sent.parents[1] / "shards").exists()


@pytest.mark.parametrize("release", [False, True], ids=["index", "release"])
def test_another_pixel_in_one_image_is_listed(
    sent: Path, shared_folder: Path, clinic: Path, release: bool, rebuilt: Rebuild
) -> None:
    path = shared_folder / "manifests" / "gan100.json" if release else sent
    file = clinic.parent / "003.png"
    whole = file.read_bytes()
    pixels = np.asarray(Image.open(file)).copy()
    pixels[20:28, 28:36] ^= 255
    Image.fromarray(pixels).save(file)
    with pytest.raises(CheckError, match="cannot be rebuilt here: 1 difference: real-"):
        rebuilt(path)
    listed = path.parents[1] / "gan100-differences.txt"
    (line,) = listed.read_text().splitlines()
    assert ("another sha256" in line) == release
    assert not (path.parent / "gan100-rebuilt.json").exists()
    file.write_bytes(whole)
    assert rebuilt(path).proof.same
    assert not listed.exists()


def test_a_missing_image_is_named_and_anyway_seals_another_dataset(
    sent: Path, clinic: Path, rebuilt: Rebuild
) -> None:
    (clinic.parent / "004.jpg").unlink()
    with pytest.raises(CheckError, match=r"004\.jpg .missing.*leave them out by --anyway"):
        rebuilt(sent)
    outcome = rebuilt(sent, anyway=True)
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


def test_another_label_table_is_refused_with_its_field(
    sent: Path, clinic: Path, rebuilt: Rebuild
) -> None:
    lines = clinic.read_text().splitlines()
    cells = lines[1].split(",")
    clinic.write_text("\n".join([lines[0], ",".join([*cells[:3], "0", *cells[4:]]), *lines[2:]]))
    with pytest.raises(UsageError, match=r"labels_sha256 is [0-9a-f]{64} there and .* by --labels"):
        rebuilt(sent)
    outcome = rebuilt(sent, anyway=True)
    assert any("labels_sha256" in refusal for refusal in outcome.refusals)
    assert load_manifest(outcome.path).source["rebuilt_from"]["built_with"] == [*outcome.refusals]


def test_the_manifest_of_another_dataset_tells_nothing_of_a_real_image(
    sent: Path, clinic: Path, rebuilt: Rebuild
) -> None:
    """The differences may tell the labels of real images, and the manifest leaves in a release."""
    header, first, *lines = clinic.read_text().splitlines()
    cells = first.split(",")
    changed = ",".join([*cells[:3], "0" if cells[3] == "1" else "1", *cells[4:]])
    clinic.write_text("\n".join([header, changed, *lines]) + "\n")
    outcome = rebuilt(sent, anyway=True)
    told = [each for each in outcome.proof.differences if each.startswith("real-")]
    assert told
    text = outcome.path.read_text()
    assert not any(each.split()[0].rstrip(":") in text for each in told)
    origin = load_manifest(outcome.path).source["rebuilt_from"]
    assert origin["differences"] == len(outcome.proof.differences)
    assert outcome.differences is not None
    assert outcome.differences.read_text().splitlines() == [*outcome.proof.differences]


def test_other_software_is_refused_and_proved_where_that_is_wanted(
    sent: Path, rebuilt: Rebuild
) -> None:
    change(sent, lambda raw: raw["software"].update(numpy="1.0"))
    with pytest.raises(UsageError, match=r"numpy is 1\.0 there and .* here\. Please use the same"):
        rebuilt(sent)
    outcome = rebuilt(sent, anyway=True)
    assert outcome.proof.same
    assert outcome.manifest.digest == load_manifest(sent).digest


def test_another_generator_is_refused_with_its_field(sent: Path, rebuilt: Rebuild) -> None:
    change(sent, lambda raw: raw["recipe"].update(generator_sha256="0" * 64))
    with pytest.raises(UsageError, match="generator_sha256 is 0000"):
        rebuilt(sent)


def test_another_rounding_is_proved_by_sketches_and_has_another_name(
    sent: Path, monkeypatch: pytest.MonkeyPatch, rebuilt: Rebuild
) -> None:
    rounded(monkeypatch, 1)
    outcome = rebuilt(sent)
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
        rebuilt(outcome.path)


def test_more_than_rounding_is_a_difference_of_every_image(
    sent: Path, monkeypatch: pytest.MonkeyPatch, rebuilt: Rebuild
) -> None:
    rounded(monkeypatch, 20)
    with pytest.raises(CheckError, match=r"its sketch is 20 greys away; rounding explains 3 at"):
        rebuilt(sent)
    manifest = load_manifest(sent)
    synthetic = sum(s.nsamples for s in manifest.shardlist if s.origin == "synthetic")
    lines = (sent.parents[1] / "gan100-differences.txt").read_text().splitlines()
    assert len(lines) == synthetic
    assert rebuilt(sent, anyway=True).path.name == "gan100-rebuilt.json"


FALSE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "source": (lambda raw: raw["source"].update(rows=61), "source has rows 61 and here it is 60"),
    "generator": (lambda raw: raw["generator"].update(latent_size=1), "generator has latent_size"),
    "name": (lambda raw: raw.update(name="gan99"), "The name in the manifest is another one"),
    "bound": (lambda raw: raw["plan"].update(lower_bound=0), "The plan in the manifest is another"),
}


@pytest.mark.parametrize("case", FALSE)
def test_a_manifest_that_tells_what_is_not_so_is_never_sealed(
    sent: Path, case: str, rebuilt: Rebuild
) -> None:
    edit, message = FALSE[case]
    change(sent, edit)
    with pytest.raises(CheckError, match=message):
        rebuilt(sent)


def test_a_manifest_with_another_sum_gives_another_name(sent: Path, rebuilt: Rebuild) -> None:
    change(sent, lambda raw: synthetic_of(raw).update(sha256="0" * 64))
    outcome = rebuilt(sent)
    assert outcome.proof.close
    assert outcome.path.name == "gan100-rebuilt.json"
