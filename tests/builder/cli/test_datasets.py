"""xbuild datasets: what each dataset needs and what of it is there."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from builder.labels.datasets import READERS

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def blocks(shown: str) -> dict[str, str]:
    """The lines of each dataset as one line, by its name."""
    found: dict[str, str] = {}
    for line in shown.split("\n\n")[0].splitlines():
        if not line.startswith(" "):
            name = line.split()[0]
        found[name] = " ".join(f"{found.get(name, '')} {line}".split())
    return found


def test_every_dataset_is_listed_in_lines_of_a_hundred_columns(
    xbuild: Xbuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = xbuild("datasets")
    assert done.returncode == 0, done.stderr
    assert {*blocks(done.stdout)} == {*READERS}
    listed, _, places = done.stdout.partition("\n\n")
    assert max(map(len, listed.splitlines())) <= 100
    assert f"Looked in {tmp_path}, and one folder above." in places
    shown = blocks(done.stdout)
    assert "CheXpert: 223,414 images, 64,540 patients, 14 labels" in shown["chexpert"]
    assert "chexpert_train.csv.gz comes with torchxrayvision" in shown["chexpert"]
    assert "not found: valid.csv, test_labels.csv" in shown["chexpert"]
    assert "not found: mimic-cxr-2.0.0-metadata.csv, mimic-cxr" in shown["mimic"]
    assert "official split none" in shown["padchest"]
    assert "15,000 images, each is a patient, 15 labels" in shown["vindr"]


def test_what_lies_in_the_root_is_said(
    xbuild: Xbuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "CheXpert-v1.0-small"
    image = tmp_path / name / "train/patient00001/study1/view1_frontal.jpg"
    image.parent.mkdir(parents=True)
    Image.new("L", (8, 8)).save(image)
    for file in (f"{name}/valid.csv", "mimic-cxr-2.0.0-split.csv.gz", "test_list.txt"):
        (tmp_path / file).touch()
    monkeypatch.setenv("XBUILD_ROOT", str(tmp_path))
    done = xbuild("datasets")
    shown = blocks(done.stdout)
    assert shown["chexpert"].endswith(f"; found in {tmp_path}")
    assert f"valid.csv in {tmp_path}/{name}; not found: test_labels.csv" in shown["chexpert"]
    assert f"mimic-cxr-2.0.0-split.csv.gz in {tmp_path}" in shown["mimic"]
    assert f"test_list.txt in {tmp_path}; not found: train_val_list.txt" in shown["nih"]


def test_a_root_that_does_not_exist_is_refused(xbuild: Xbuild, tmp_path: Path) -> None:
    done = xbuild("datasets", "--root", tmp_path / "absent")
    assert done.returncode == 2
    assert done.stderr == (
        f"Error: The folder {tmp_path}/absent does not exist: check --root or XBUILD_ROOT.\n"
    )
