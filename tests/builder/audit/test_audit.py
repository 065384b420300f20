"""The line of the judges on small sealed datasets, and what it refuses."""

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.audit.audit import (
    Asked,
    aligned,
    audit_dataset,
    read_sides,
    rounded,
)
from builder.audit.pictures import Sealed, open_sealed
from builder.audit.settings import Settings
from builder.contract import CheckError, ImageSpec, UsageError, load_manifest
from builder.contract.audit import Audit, Interval, Nearness, audit_bytes
from builder.contract.weights import WeightsHeader

QUICK = Settings(sample=100, resamples=100)
NAME = "gan100.json"


def quiet(*_: object) -> Any:
    return nullcontext(lambda _: None)


@pytest.fixture(scope="module")
def halves(
    sealed_once: Path, xbuild: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Manifests of the clinic's synthetic half alone, and of its real half alone."""
    out = tmp_path_factory.mktemp("halves")
    table = ("--dataset", "table", "--labels", sealed_once.parent / "clinic" / "labels.csv")
    same = (*table, "--holdout", "0.1", "0.1", "--workers", 1, "--out", out, "--image-size", 32)
    for words in (
        ("synth", *same, "--real", "none", "--target", "Mass", "--share", "0.2", "--name", "fake"),
        ("pack", *same, "--name", "mine"),
    ):
        done = xbuild(*words)
        assert done.returncode == 0, done.stderr
    return out / "manifests" / "fake.json", out / "manifests" / "mine.json"


@pytest.fixture
def clinic_set(sealed: Path) -> Sealed:
    return open_sealed(sealed / "manifests" / NAME)


def test_a_small_dataset_is_judged_as_far_as_it_can_be(sealed: Path, tmp_path: Path) -> None:
    path = sealed / "manifests" / NAME
    before = sorted(sealed.rglob("*"))
    audit, page = audit_dataset(Asked(manifest=path), QUICK, tmp_path / "out", quiet)
    assert (audit.name, audit.digest) == ("gan100", load_manifest(path).digest)
    assert audit.real == audit.digest
    assert audit.settings["sample"] == 100
    assert len(audit.summary) == 5
    assert audit.copies is None
    assert any("Copies and nearness were not looked for" in note for note in audit.notes)
    assert audit.shortcuts is None
    assert audit.rare is not None
    assert all(sentence in page or "&" in page for sentence in audit.summary)
    assert not (tmp_path / "out").exists()  # what was reduced has no name
    assert sorted(sealed.rglob("*")) == before
    again, same = audit_dataset(Asked(manifest=path), QUICK, tmp_path / "out", quiet)
    assert (audit_bytes(again), same) == (audit_bytes(audit), page)


def test_real_images_may_come_from_another_dataset(
    halves: tuple[Path, Path], tmp_path: Path
) -> None:
    fake, mine = halves
    audit, _ = audit_dataset(Asked(manifest=fake, real=mine), QUICK, tmp_path, quiet)
    assert audit.name == "fake"
    assert audit.real == load_manifest(mine).digest != audit.digest
    with pytest.raises(UsageError, match=r"fake\.json has no real training images.*--real"):
        audit_dataset(Asked(manifest=fake), QUICK, tmp_path, quiet)
    with pytest.raises(UsageError, match=r"mine\.json has no synthetic images"):
        audit_dataset(Asked(manifest=mine), QUICK, tmp_path, quiet)


def test_labels_are_matched_by_name(clinic_set: Sealed, sealed: Path) -> None:
    asked = Asked(manifest=sealed / "a.json", real=sealed / "b.json")
    names = clinic_set.manifest.pathologies
    turned = clinic_set.with_pathologies(names[::-1])
    one, other, notes = aligned(asked, clinic_set, turned)
    assert one.manifest.pathologies == other.manifest.pathologies == names
    assert (other.index.labels == clinic_set.index.labels).all()
    assert notes == ()
    fewer = clinic_set.with_pathologies(names[1:])
    one, other, notes = aligned(asked, clinic_set, fewer)
    assert one.manifest.pathologies == names[1:]
    assert f"are left out: {names[0]}." in notes[0]
    recipe = {**clinic_set.manifest.recipe, "seed": 3}
    elsewhere = replace(clinic_set, manifest=replace(clinic_set.manifest, recipe=recipe))
    *_, notes = aligned(asked, clinic_set, elsewhere)
    assert "was planned for (another seed)" in notes[0]
    foreign = Sealed(
        manifest=replace(fewer.manifest, pathologies=("Hernia",) * (len(names) - 1)),
        root=sealed,
        index=fewer.index,
    )
    with pytest.raises(UsageError, match="have no pathology in common"):
        aligned(asked, clinic_set, foreign)


def test_images_of_another_size_are_refused(clinic_set: Sealed, sealed: Path) -> None:
    asked = Asked(manifest=sealed / "a.json", real=sealed / "b.json")
    spec = ImageSpec(height=64, width=64, codec="png", quality=0)
    other = Sealed(
        manifest=replace(clinic_set.manifest, image=spec), root=sealed, index=clinic_set.index
    )
    with pytest.raises(UsageError, match=r"have 32×32 pixels and those of .* 64×64"):
        aligned(asked, clinic_set, other)


def test_held_out_images_of_training_patients_are_left_out(
    clinic_set: Sealed, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = clinic_set.index
    val = np.flatnonzero((index.origin == "real") & (index.split != "train"))
    patient = np.array(index.patient)
    patient[val[0]] = patient[(index.origin == "real") & (index.split == "train")][0]
    shared = replace(clinic_set, index=replace(index, patient=patient))
    monkeypatch.setattr("builder.audit.audit.open_sealed", lambda *_: shared)
    sides = read_sides(Asked(manifest=sealed / "manifests" / NAME), tmp_path, quiet)
    assert len(sides.held_out) == len(val) - 1
    assert "1 held-out images are of training patients" in sides.notes[0]


def test_a_classifier_of_other_pathologies_is_refused(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "best.safetensors"
    file.write_bytes(b"no weights")
    shutil.rmtree(sealed / "shards")  # no shard is looked at first
    asked = Asked(manifest=sealed / "manifests" / NAME, classifier=file)
    with pytest.raises((UsageError, CheckError), match=r"best\.safetensors"):
        audit_dataset(asked, QUICK, tmp_path, quiet)
    spec = ImageSpec(height=32, width=32, codec="jpg", quality=95)
    header = WeightsHeader(pathologies=("Hernia",), image=spec, manifest="0" * 64, epoch=1)
    monkeypatch.setattr("builder.audit.features.read_header", lambda _: header)
    brought: list[bool] = []
    with pytest.raises(UsageError, match=r"was trained for Hernia, and none of the targets Mass"):
        audit_dataset(asked, QUICK, tmp_path, quiet, lambda: brought.append(True))
    assert not brought  # no shard was fetched for it
    with pytest.raises(CheckError, match="shards"):
        audit_dataset(
            replace(asked, classifier=None), QUICK, tmp_path, quiet, lambda: brought.append(True)
        )
    assert brought


def test_a_wrong_table_of_sources_is_refused_before_a_shard_is_read(
    sealed: Path, tmp_path: Path
) -> None:
    shutil.rmtree(sealed / "shards")
    asked = Asked(manifest=sealed / "manifests" / NAME, sources={"real-x": "Bern"})
    with pytest.raises(UsageError, match="names no real image of this dataset"):
        audit_dataset(asked, QUICK, tmp_path / "out", quiet)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_to_is_told_at_once(sealed: Path, tmp_path: Path) -> None:
    shutil.rmtree(sealed / "shards")
    (tmp_path / "file").write_text("")
    asked = Asked(manifest=sealed / "manifests" / NAME)
    with pytest.raises(NotADirectoryError):
        audit_dataset(asked, QUICK, tmp_path / "file" / "out", quiet)


def test_what_is_missing_or_damaged_is_named(sealed: Path, tmp_path: Path) -> None:
    path = sealed / "manifests" / NAME
    (tmp_path / "labels.csv").write_text("image,patient\n")
    with pytest.raises(CheckError, match=r"labels\.csv"):
        audit_dataset(Asked(manifest=tmp_path / "labels.csv"), QUICK, tmp_path, quiet)
    with pytest.raises(CheckError, match=r"none\.json"):
        audit_dataset(Asked(manifest=tmp_path / "none.json"), QUICK, tmp_path, quiet)
    shutil.rmtree(sealed / "shards" / "gan100")
    with pytest.raises(CheckError, match="shards/gan100"):
        audit_dataset(Asked(manifest=path), QUICK, tmp_path, quiet)


def test_numbers_have_six_digits_and_are_finite(audit: Audit) -> None:
    share = Interval(value=0.123456789, low=1.23456789e-7, high=123456789.0)
    long = replace(audit, nearness=Nearness(share=share, synthetic=1, real=1))
    found = rounded(long).nearness
    assert found is not None
    assert found.share == Interval(value=0.123457, low=1.23457e-7, high=123457000.0)
    assert rounded(rounded(long)) == rounded(long)
    endless = replace(share, high=float("inf"))
    with pytest.raises(CheckError, match="not finite"):
        rounded(replace(long, nearness=Nearness(share=endless, synthetic=1, real=1)))
