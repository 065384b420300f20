"""The pipeline on a small clinic: what comes out, and that nothing but the recipe changes it."""

import csv
import hashlib
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from builder import generators
from builder.blueprint import prepare
from builder.build import resolve
from builder.checks import find_checks
from builder.contract import Index, Manifest, load_index, load_manifest, sha256_file
from builder.recipe import Request

Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]


def loaded(out: Path, name: str = "gan100") -> tuple[Manifest, Index]:
    manifest = load_manifest(out / "manifests" / f"{name}.json")
    return manifest, load_index(manifest, out)


def test_the_dataset_is_what_was_planned(built: Path) -> None:
    manifest, index = loaded(built)
    plan = manifest.plan
    assert plan is not None
    train = index.split == "train"
    real, synthetic = index.origin == "real", index.origin == "synthetic"
    assert (train & real).sum() == plan.real
    assert synthetic.sum() == plan.synthetic > 0
    assert not (synthetic & ~train).any()
    assert real.sum() == 60
    for target in plan.targets:
        column = manifest.pathologies.index(target.pathology)
        positives = (index.labels[train, column] == 1).sum()
        assert positives == target.positives
        assert 5 * positives >= train.sum()
    assert {s.split for s in manifest.shardlist} == {"train", "val", "test"}
    assert max(s.nsamples for s in manifest.shardlist) <= 16
    assert manifest.digest == sha256_file(built / "manifests" / "gan100.json")


def test_no_path_host_or_clock_is_in_what_is_hashed(
    tmp_path: Path, small: list[object], clinic: Path, xbuild: Xbuild
) -> None:
    built = tmp_path / "out"
    assert xbuild(*small, "--out", built).returncode == 0
    text = (built / "manifests" / "gan100.json").read_text()
    for word in (str(clinic.parent), str(built), os.uname().nodename, time.strftime("%Y"), "file:"):
        assert word not in text
    index = pq.read_table(built / "manifests" / "gan100.parquet").to_pandas().to_csv().encode()
    tars = index + b"".join(path.read_bytes() for path in built.rglob("*.tar"))
    assert not [word for word in (b"p07", b"clinic", b"labels.csv") if word in tars]


def test_the_manifest_does_not_give_the_patients_away(built: Path) -> None:
    """Seed and sha256 of the table are published; the ids are few enough to try them all."""
    manifest, index = loaded(built)
    found = set(index.patient) - {""}
    for text in (
        f"{manifest.recipe['seed']} {manifest.source['labels_sha256']}",
        f"{manifest.recipe['seed']}{manifest.source['labels_sha256']}",
        manifest.source["labels_sha256"],
    ):
        salt = hashlib.blake2b(text.encode(), digest_size=32).digest()
        for i in range(24):
            tried = hashlib.blake2b(f"p{i:02d}".encode(), digest_size=8, key=salt).hexdigest()
            assert tried not in found
    assert len(found) == 24


@pytest.mark.parametrize(("codec", "workers"), [("jpg", 3), ("png", 2)])
def test_the_same_bytes_for_any_number_of_workers(
    tmp_path: Path,
    small: list[object],
    xbuild: Xbuild,
    installed: Xbuild,
    codec: str,
    workers: int,
    hashes: Hashes,
) -> None:
    words = [*small, "--format", codec, "--workers"]
    assert xbuild(*words, 1, "--out", tmp_path / "one").returncode == 0
    done = installed(*words, workers, "--out", tmp_path / "many")
    assert done.returncode == 0, done.stderr
    one = hashes(tmp_path / "one")
    assert one == hashes(tmp_path / "many")
    assert len(one) > 10


def test_regimes_share_the_real_shards(
    built: Path, small: list[object], xbuild: Xbuild, hashes: Hashes
) -> None:
    before = hashes(built)
    done = xbuild(*small, "--regime", "50", "--target", "Edema", "--out", built)
    assert done.returncode == 0, done.stderr
    after = hashes(built)
    assert {name: after[name] for name in before} == before
    whole, half = loaded(built)[0], loaded(built, "gan50")[0]

    def real(manifest: Manifest) -> list[str]:
        return [s.url for s in manifest.shardlist if (s.origin, s.split) == ("real", "train")]

    assert real(half) == real(whole)[: len(real(half))]
    assert len(real(half)) < len(real(whole))


def test_a_regime_of_ones_own_gets_its_own_training_shards(
    built: Path, small: list[object], xbuild: Xbuild
) -> None:
    done = xbuild(*small, "--regime", "62.5", "--out", built)
    assert done.returncode == 0, done.stderr
    manifest, _ = loaded(built, "gan62_5")
    folders = {(s.split, s.origin): s.url.split("/")[1] for s in manifest.shardlist}
    assert folders == {
        ("train", "real"): "real-62_5",
        ("train", "synthetic"): "gan62_5",
        ("val", "real"): "real",
        ("test", "real"): "real",
    }
    assert xbuild("verify", built / "manifests" / "gan62_5.json").returncode == 0


def test_the_synthetic_half_alone_needs_no_images(
    tmp_path: Path, small: list[object], clinic: Path, xbuild: Xbuild
) -> None:
    for image in clinic.parent.glob("*.[pj]*g"):
        image.unlink()
    done = xbuild(*small, "--real", "none", "--out", tmp_path / "half")
    assert done.returncode == 0, done.stderr
    manifest, index = loaded(tmp_path / "half")
    assert set(index.origin) == {"synthetic"}
    assert manifest.plan.synthetic == len(index)
    assert xbuild("verify", tmp_path / "half" / "manifests" / "gan100.json").returncode == 0


def test_nothing_to_render_alone_is_said(
    tmp_path: Path, small: list[object], xbuild: Xbuild
) -> None:
    done = xbuild(*small, "--share", "0.01", "--real", "none", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "nothing to render" in done.stderr
    done = xbuild(*small, "--share", "0.01", "--out", tmp_path / "real")
    assert done.returncode == 0
    manifest, index = loaded(tmp_path / "real")
    assert manifest.plan.synthetic == 0
    assert set(index.origin) == {"real"}


def test_bad_images_stop_the_build_or_are_left_out_with_reasons(
    tmp_path: Path, small: list[object], clinic: Path, xbuild: Xbuild, hashes: Hashes
) -> None:
    folder = clinic.parent
    (folder / "004.jpg").unlink()
    (folder / "006.png").write_bytes(b"no image")
    (folder / "008.jpg").write_bytes((folder / "008.jpg").read_bytes()[:300])
    Image.new("L", (40, 40), 9).save(folder / "010.jpg")
    out = tmp_path / "out"
    done = xbuild(*small, "--out", out)
    assert done.returncode == 1
    assert "4 real images cannot be packed" in done.stderr
    assert "Traceback" not in done.stderr
    with (out / "gan100-left-out.csv").open(newline="") as report:
        reasons = dict(csv.reader(report))
    assert reasons["004.jpg"] == "missing"
    assert "neither PNG" in reasons["006.png"]
    assert "truncated" in reasons["008.jpg"].lower()
    assert reasons["010.jpg"] == "every pixel is the same"
    assert not list((out / "manifests").glob("*.json"))

    done = xbuild(*small, "--out", out, "--skip-bad")
    assert done.returncode == 0, done.stderr
    manifest, index = loaded(out)
    assert (index.origin == "real").sum() == 56
    assert manifest.source["left_out"] == 4
    assert not manifest.plan.broken()
    assert xbuild("verify", out / "manifests" / "gan100.json").returncode == 0
    before = hashes(out)
    assert xbuild(*small, "--out", out, "--skip-bad").returncode == 0
    assert hashes(out) == before


def test_repaired_images_remove_the_report(
    tmp_path: Path, small: list[object], clinic: Path, xbuild: Xbuild
) -> None:
    image = clinic.parent / "004.jpg"
    whole, out = image.read_bytes(), tmp_path / "out"
    image.unlink()
    assert xbuild(*small, "--out", out).returncode == 1
    assert (out / "gan100-left-out.csv").is_file()
    image.write_bytes(whole)
    assert xbuild(*small, "--out", out).returncode == 0
    assert not (out / "gan100-left-out.csv").exists()


def test_dry_run_and_plan_write_nothing(
    tmp_path: Path, small: list[object], xbuild: Xbuild
) -> None:
    done = xbuild(*small, "--out", tmp_path / "none", "--dry-run")
    assert done.returncode == 0
    assert "Pleural_Thickening" in done.stdout
    assert not (tmp_path / "none").exists()


# --- a request is resolved once -------------------------------------------------------------------


def test_a_recipe_has_every_default_of_the_generator_and_the_checks(clinic: Path) -> None:
    tenth = ("0.1", "0.1")
    blueprint = prepare(
        Request(dataset="table", labels=clinic, targets=("mass",), holdout=tenth, generator="nih64")
    )
    spec = blueprint.generator
    loaded = generators.find(spec.name, spec.image_size, spec.options)
    recipe = resolve(blueprint, loaded, find_checks(["copy", "constant"]))
    assert (recipe.name, recipe.targets) == ("gan100", ("Mass",))
    assert (recipe.generator, recipe.image_size) == ("nih64", 64)
    assert recipe.generator_sha256 == loaded.sha256
    assert recipe.checks == ("constant", "copy:0.01")
    assert None not in recipe.noted().values()
    assert "vectors" not in recipe.noted()  # they are usual
    assert replace(recipe, vectors="alone").noted() == {**recipe.noted(), "vectors": "alone"}


def test_the_size_asked_for_is_the_size_of_the_recipe(clinic: Path) -> None:
    request = Request(
        dataset="table", labels=clinic, targets=("Mass",), image_size=32, holdout=("0.1", "0.1")
    )
    blueprint = prepare(replace(request, checks=("duplicate",)))
    loaded = generators.find("phantom", 32)
    recipe = resolve(blueprint, loaded, find_checks(("duplicate",)))
    assert (recipe.image_size, recipe.generator) == (32, "phantom")
    assert recipe.checks == ("constant", "duplicate")
    assert resolve(prepare(request), loaded, find_checks(())).checks == ("constant",)
