"""Commands around a dataset: bad input is one sentence, and what is written is said."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from builder.labels import read_labels

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def test_the_default_targets_of_the_nih_radiographs_come_with_advice_that_works(
    xbuild: Xbuild, shared: Path
) -> None:
    words = ["plan", "--dataset", "nih", "--root", shared / "data" / "nih1k_224"]
    refused = xbuild(*words)
    assert refused.returncode == 2
    assert "cannot hold together" in refused.stderr
    share = refused.stderr.split("lower --share to ")[1].split(",")[0]
    kept = [word.split("'")[1] for word in refused.stderr.split("--target ")[1:]]
    limit = refused.stderr.split("--max-per-real ")[1].split(".")[0]
    assert xbuild(*words, "--share", share).returncode == 0
    assert xbuild(*words, *(w for k in kept for w in ("--target", k))).returncode == 0
    assert xbuild(*words, "--max-per-real", limit).returncode == 0


BAD = {
    "regime 0": (["plan", "--regime", "0"], 2, "in (0, 100]"),
    "regime word": (["plan", "--regime", "ten"], 2, "'ten' is not a number"),
    "share 1": (["plan", "--share", "1"], 2, "below 1"),
    "unknown target": (["plan", "--target", "Gout"], 2, "No pathology is called 'Gout'"),
    "target twice": (["plan", "--target", "Edema", "--target", "edema"], 2, "twice|do not differ"),
    "no labels": (["plan", "--dataset", "table"], 2, "--labels FILE.csv"),
    "no root": (["synth", "--dataset", "nih", "--target", "Mass"], 2, "add --root FOLDER"),
    "no chexpert": (["synth", "--regime", "10"], 2, "No CheXpert images were found"),
    "absent root": (["synth", "--root", "/nowhere"], 2, "does not exist"),
    "holdout": (["plan", "--holdout", "0.6", "0.6"], 2, "--holdout"),
    "dataset": (["plan", "--dataset", "mnist"], 2, "'mnist' is not one of"),
    "image size": (["synth", "--image-size", "8"], 2, "16<=x<=1024"),
    "name": (["synth", "--dataset", "demo", "--name", "Gan 10", "--dry-run"], 2, "cannot be used"),
    "generator": (["synth", "--dataset", "demo", "--generator", "dall-e"], 2, "No generator"),
    "absent manifest": (["verify", "absent.json"], 1, "Cannot read absent.json"),
    "absent pickle": (["import-gan", "absent.pkl", "out.safetensors"], 1, "absent.pkl"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(
    xbuild: Xbuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words, code, message = BAD[case]
    done = xbuild(*words)
    assert done.returncode == code, done.stderr
    assert any(part in done.stderr for part in message.split("|")), done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()[-1]) < 1000
    assert not list(tmp_path.iterdir())


def test_a_truncated_generator_is_refused(xbuild: Xbuild, tmp_path: Path) -> None:
    weights = tmp_path / "gan.safetensors"
    weights.write_bytes(b"\xff\0\0\0\0\0\0\0{")
    done = xbuild(
        *("synth", "--dataset", "demo", "--regime", "1", "--generator", weights),
        *("--out", tmp_path / "out"),
    )
    assert done.returncode == 1
    assert "is not a generator" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--generator", "dall-e"], "No generator is called 'dall-e'"),
        (["--generator", "absent.safetensors"], "Cannot read the generator absent.safetensors"),
        (["--generator-option", "mood=calm"], "phantom has no option 'mood'"),
        (["--check", "copy"], "copy:0.01 needs 100 held-out images to know what is unusual"),
        (["--check", "copy", "--real", "none"], "looks at real images: use --real pack"),
    ],
)
def test_a_generator_and_checks_that_cannot_be_are_refused_before_the_plan(
    xbuild: Xbuild, small: list[object], tmp_path: Path, words: list[str], message: str
) -> None:
    done = xbuild(*small, *words, "--out", tmp_path / "out", "--dry-run")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_phantoms_with_real_data_are_announced(
    xbuild: Xbuild, small: list[object], tmp_path: Path
) -> None:
    done = xbuild(*small, "--out", tmp_path / "out", "--dry-run")
    assert "phantoms are drawings, not radiographs" in done.stderr


def test_notes_about_the_table_are_shown(xbuild: Xbuild, clinic: Path, tmp_path: Path) -> None:
    table = ["--dataset", "table", "--labels", clinic, "--holdout", "0.1", "0.1"]
    small = ["--image-size", 32, "--out", tmp_path / "out"]
    target = ["--target", "Mass"]
    for words in (["plan", *target], ["pack", *small], ["synth", *small, *target, "--dry-run"]):
        done = xbuild(*words, *table)
        assert done.returncode == 0, done.stderr
        assert "Note: 3 label columns: Mass, Edema, Pleural_Thickening" in done.stderr
    assert "Note:" not in done.stdout


@pytest.fixture
def chexpert(tmp_path: Path) -> Path:
    """A folder that holds a download with four training images."""
    labels = read_labels("chexpert").rows["image"]
    for name in labels[:4]:
        path = tmp_path / "disk" / "CheXpert-v1.0-small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (64, 64), 9).save(path)
    return tmp_path / "disk"


def test_chexpert_is_found_in_the_current_folder_or_by_the_variable(
    xbuild: Xbuild, chexpert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["synth", "--regime", "10", "--dry-run"]
    for folder in (chexpert, chexpert / "CheXpert-v1.0-small"):
        monkeypatch.chdir(folder)
        assert f"Note: CheXpert's images are those in {folder}" in xbuild(*words).stderr
    monkeypatch.chdir(tmp_path)
    refused = xbuild(*words)
    assert refused.returncode == 2
    for way in ("--root FOLDER", "--dataset demo", "--real none", "XBUILD_ROOT", str(tmp_path)):
        assert way in refused.stderr
    assert xbuild(*words, "--real", "none").returncode == 0
    monkeypatch.setenv("XBUILD_ROOT", str(chexpert))
    assert "No CheXpert images" not in xbuild(*words).stderr
    assert "No CheXpert images" not in xbuild("pack", "--out", tmp_path / "out").stderr


def test_the_current_folder_does_not_change_a_plan(
    xbuild: Xbuild, chexpert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = xbuild("plan", "--regime", "10")
    monkeypatch.chdir(chexpert)
    assert xbuild("plan", "--regime", "10").stdout == plan.stdout
    assert plan.returncode == 0


def test_verify_lists_the_faults_and_counts_them(sealed: Path, xbuild: Xbuild) -> None:
    path = sealed / "manifests" / "gan100.json"
    assert xbuild("verify", path).stdout.startswith("OK: ")
    next(sealed.rglob("*.idx")).unlink()
    done = xbuild("verify", path)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("gan100.json: 1 fault.")


def test_a_dataset_is_verified_by_its_manifest(sealed: Path, xbuild: Xbuild) -> None:
    done = xbuild("verify", sealed)
    assert done.returncode == 2
    assert f"{sealed} is the folder of a dataset: name {sealed}/manifests/gan100" in done.stderr


def test_a_build_says_where_everything_is(
    small: list[object], tmp_path: Path, xbuild: Xbuild
) -> None:
    out = tmp_path / "out"
    done = xbuild(*small, "--out", out)
    assert f"Sealed {out}/manifests/gan100.json (" in done.stdout
    assert f"pictures in {out}/manifests/gan100.png." in done.stdout
    assert "Rendered " in done.stdout
    assert "Nothing was left to render." in xbuild(*small, "--out", out).stdout
    enough = xbuild(*small, "--share", "0.01", "--out", tmp_path / "enough")
    assert "No image was rendered, because every target had its share already." in enough.stdout
