"""Real images alone: packed without a generator, and found again by `synth`."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import load_index, load_manifest
from builder.contract.radiograph import BadImage, Reading
from builder.labels import read_labels
from builder.pack import real_painter, real_samples

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def arguments(clinic: Path, tmp_path: Path) -> list[object]:
    """What says which real images of the clinic are meant, for `pack` and for `synth`."""
    return [
        *("--dataset", "table", "--labels", clinic, "--image-size", 32, "--shard-size", 16),
        *("--holdout", "0.1", "0.1", "--out", tmp_path / "out"),
    ]


def shards_of(out: Path) -> dict[str, tuple[int, int]]:
    """The tars of real images, by what changes when one is written again."""
    stats = {path.name: path.stat() for path in (out / "shards" / "real").glob("*.tar")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def test_real_images_are_sealed_without_a_plan_and_a_generator(
    arguments: list[object], tmp_path: Path, xbuild: Xbuild
) -> None:
    done = xbuild("pack", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Note: 3 label columns: Mass, Edema, Pleural_Thickening")
    assert len(done.stderr.splitlines()) == 1
    out = tmp_path / "out"
    path = out / "manifests" / "real100.json"
    manifest = load_manifest(path)
    assert (manifest.schema, manifest.plan, manifest.generator) == (2, None, None)
    assert (manifest.dataset, manifest.regime, manifest.uncertain) == ("table", "100", "ones")
    index = load_index(manifest, out)
    assert set(index.origin) == {"real"}
    assert len(index) == 60
    train = int((index.split == "train").sum())
    assert f"real100: {train} training images of regime 100 %" in done.stdout
    assert path.with_suffix(".png").is_file()
    verified = xbuild("verify", path)
    assert verified.stdout.startswith("OK: 60 samples"), verified.stderr


def test_synth_uses_the_shards_that_were_packed(
    arguments: list[object], tmp_path: Path, xbuild: Xbuild
) -> None:
    out = tmp_path / "out"
    assert xbuild("pack", *arguments).returncode == 0
    recipe = (out / "shards" / "real" / "recipe.json").read_bytes()
    before = shards_of(out)
    assert len(before) > 3
    done = xbuild("synth", *arguments, "--target", "Mass", "--share", "0.2")
    assert done.returncode == 0, done.stderr
    count = sum(path.suffix == ".tar" for path in (out / "shards" / "real").iterdir())
    note = f"Note: {count} of {count} real shards were complete already, so no image was read again"
    assert done.stderr.count(f"{note}; remove {out / 'shards' / 'real'} to pack all anew.") == 1
    assert shards_of(out) == before
    assert (out / "shards" / "real" / "recipe.json").read_bytes() == recipe
    real, gan = (load_manifest(out / "manifests" / f"{n}.json") for n in ("real100", "gan100"))
    packed = {shard.url: shard for shard in gan.shardlist if shard.origin == "real"}
    assert packed == {shard.url: shard for shard in real.shardlist}


def test_a_build_that_resumes_says_once_what_it_did_not_read(
    arguments: list[object], tmp_path: Path, xbuild: Xbuild
) -> None:
    assert "complete already" not in xbuild("pack", *arguments).stderr
    next((tmp_path / "out").glob("shards/real/train-00000*.tar")).unlink()
    done = xbuild("pack", *arguments)
    assert done.stderr.count("complete already, so their images were not read again; remove") == 1


def test_pack_finds_what_synth_has_packed(built: Path, clinic: Path, xbuild: Xbuild) -> None:
    before = shards_of(built)
    done = xbuild(
        *("pack", "--dataset", "table", "--labels", clinic, "--image-size", 32),
        *("--shard-size", 16, "--holdout", "0.1", "0.1", "--regime", 50, "--out", built),
    )
    assert done.returncode == 0, done.stderr
    assert shards_of(built) == before
    assert (built / "manifests" / "real50.json").is_file()


def test_a_regime_of_its_own_has_its_own_training_shards(
    arguments: list[object], tmp_path: Path, xbuild: Xbuild
) -> None:
    done = xbuild("pack", *arguments, "--regime", "62.5")
    assert done.returncode == 0, done.stderr
    manifest = load_manifest(tmp_path / "out" / "manifests" / "real62_5.json")
    folders = {(shard.split, shard.url.split("/")[1]) for shard in manifest.shardlist}
    assert folders == {("train", "real-62_5"), ("val", "real"), ("test", "real")}


def test_a_name_is_not_taken_from_another_dataset(
    arguments: list[object], tmp_path: Path, xbuild: Xbuild
) -> None:
    assert xbuild("pack", *arguments, "--name", "mine").returncode == 0
    path = tmp_path / "out" / "manifests" / "mine.json"
    before = path.read_bytes()
    other = xbuild("pack", *arguments, "--name", "mine", "--regime", "50")
    assert other.returncode == 2
    assert "was begun with regime = '100' and now '50' is asked for" in other.stderr
    assert "another --name" in other.stderr
    synth = xbuild("synth", *arguments, "--target", "Mass", "--name", "mine")
    assert synth.returncode == 2
    assert "mine.json is a dataset of real images alone: choose another --name" in synth.stderr
    assert xbuild("pack", *arguments, "--name", "mine").returncode == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["real", "real-50"])
def test_folders_of_shards_keep_their_names(
    arguments: list[object], xbuild: Xbuild, name: str
) -> None:
    done = xbuild("pack", *arguments, "--name", name)
    assert done.returncode == 2
    assert f"The name '{name}' cannot be used" in done.stderr


def test_labels_alone_cannot_be_packed(tmp_path: Path, xbuild: Xbuild) -> None:
    done = xbuild("pack", "--dataset", "nih", "--out", tmp_path / "out")
    assert done.returncode == 2
    error = done.stderr.strip().splitlines()[-1]
    assert error == "Error: --dataset nih needs its images: add --root FOLDER."
    assert not (tmp_path / "out").exists()


def test_bad_images_stop_packing_or_are_left_out(
    arguments: list[object], clinic: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    (clinic.parent / "004.jpg").unlink()
    done = xbuild("pack", *arguments)
    assert done.returncode == 1
    assert "1 real image cannot be packed, the first is 004.jpg (missing)" in done.stderr
    assert not (tmp_path / "out" / "manifests").exists()
    done = xbuild("pack", *arguments, "--skip-bad")
    assert done.returncode == 0, done.stderr
    manifest = load_manifest(tmp_path / "out" / "manifests" / "real100.json")
    assert manifest.source["left_out"] == 1
    assert "Note: 1 real image is left out: " in done.stderr
    assert f"see {tmp_path / 'out' / 'real100-left-out.csv'}." in done.stderr
    assert manifest.index.rows == 59


def test_packing_needs_no_torch(
    arguments: list[object], tmp_path: Path, installed: Xbuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with broken packages of these names stands first in the path."""
    for name in ("torch", "torchvision", "torchxrayvision"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    done = installed("pack", *arguments)
    assert done.returncode == 0, done.stderr


def test_labels_that_the_phantom_cannot_show_are_told_what_to_do(
    arguments: list[object], clinic: Path, xbuild: Xbuild
) -> None:
    clinic.write_text(clinic.read_text().replace("Mass", "Viral"))
    done = xbuild("synth", *arguments, "--target", "Viral")
    assert done.returncode == 2
    error = done.stderr.strip().splitlines()[-1]
    assert error == (
        "Error: Without --generator, phantom renders the images, and it cannot show Viral: name a "
        "generator by --generator, show it as one of the labels No Finding, Enlarged "
        "Cardiomediastinum, Cardiomegaly, Lung Opacity, Lung Lesion, Edema, Consolidation, "
        "Pneumonia, Atelectasis, Pneumothorax, Pleural Effusion, Pleural Other, Fracture, Support "
        "Devices, Infiltration and 6 more by --label-map 'Viral=LABEL', or train one on your own "
        "images with xbuild pack and then xbuild fit-gan."
    )
    named = xbuild("synth", *arguments, "--target", "Viral", "--generator", "phantom")
    assert "The generator phantom cannot show Viral: it knows" in named.stderr


def test_images_outside_are_packed_by_links_to_a_named_folder_alone(
    clinic: Path, arguments: list[object], xbuild: Xbuild, tmp_path: Path
) -> None:
    image, far = clinic.parent / "002.jpg", tmp_path / "scratch"
    far.mkdir()
    image.rename(far / "x.jpg")
    image.symlink_to(far / "x.jpg")
    done = xbuild("pack", *arguments)
    assert done.returncode == 2
    assert f"is a link to {far}/x.jpg, which is not below the image folder" in done.stderr
    assert not (tmp_path / "out/shards").exists()
    done = xbuild("pack", *arguments, "--links-to", far)
    assert done.returncode == 0, done.stderr


def test_a_link_that_appears_after_the_check_is_not_read(clinic: Path, tmp_path: Path) -> None:
    table = read_labels("table", labels=clinic)
    painter = real_painter(table, [0], 32, Reading(upsample=True))
    sample = next(real_samples(table, [0], "train", 0))
    image = clinic.parent / str(table.rows["file"][0])
    image.rename(tmp_path / "secret.jpg")
    image.symlink_to(tmp_path / "secret.jpg")
    (bad,) = painter.produce([sample])
    assert isinstance(bad, BadImage)
    assert bad.reason == "a link out of the image folder"
