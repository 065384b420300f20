"""Anyone's own labels, through the installed commands: pack → fit-gan → synth → train."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from builder.contract import load_index, load_manifest
from builder.verify import verify

LABELS = ("Bacterial", "Viral", "No_Finding")
PATIENTS, PER_PATIENT, SIDE = 80, 3, 32

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run an installed command in an empty folder; it must succeed."""
    folder = tmp_path / "work"
    folder.mkdir()

    def command(name: str, *arguments: object) -> str:
        program = Path(sys.executable).with_name(name)
        done = subprocess.run(
            [program, *map(str, arguments)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return command


def radiograph(label: str, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A bright spot for Bacterial, bright stripes for Viral, neither for No_Finding."""
    pixels = random.normal(90, 12, (SIDE, SIDE))
    if label == "Bacterial":
        row, column = random.integers(6, SIDE - 10, 2)
        pixels[row : row + 6, column : column + 6] += 110
    if label == "Viral":
        pixels[random.integers(0, 4) :: 4] += 70
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """A table of 240 images of 80 patients, one in ten of whom has Viral."""
    random = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    with (folder / "my.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "patient", *LABELS])
        for number in range(PATIENTS * PER_PATIENT):
            patient = number // PER_PATIENT
            label = "Viral" if patient % 10 == 0 else LABELS[2 * (patient % 2)]
            Image.fromarray(radiograph(label, random)).save(folder / f"{number:03d}.png")
            table.writerow([f"{number:03d}.png", f"p{patient}", *(int(label == n) for n in LABELS)])
    return folder / "my.csv"


@pytest.mark.slow
def test_own_labels_get_a_generator_of_their_own_and_a_balanced_dataset(
    ward: Path, run: Run, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    mine = [
        *("--dataset", "table", "--labels", ward, "--root", ward.parent),
        *("--regime", 100, "--holdout", "0.2", "0.2", "--image-size", SIDE, "--out", "data"),
    ]
    run("xbuild", "pack", *mine)
    packed = load_manifest(work / "data" / "manifests" / "real100.json")
    assert packed.pathologies == LABELS
    assert packed.real_only
    assert list(verify(work / "data" / "manifests" / "real100.json")) == []

    settings = ["--resolution", SIDE, "--kimg", 0.3, "--fmap-base", 64, "--fmap-max", 16]
    run("xbuild", "fit-gan", "data/manifests/real100.json", *settings, "--out", "gan.safetensors")
    assert "real100" in (work / "gan.card.md").read_text()

    tars = sorted((work / "data" / "shards" / "real").glob("*.tar"))
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in tars]
    said = run(
        *("xbuild", "synth", *mine, "--generator", "gan.safetensors", "--target", "Viral"),
        *("--share", "0.3"),
    )
    assert "Viral" in said
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in tars] == before
    assert list(verify(work / "data" / "manifests" / "gan100.json")) == []
    balanced = load_manifest(work / "data" / "manifests" / "gan100.json")
    index = load_index(balanced, work / "data")
    train = index.split == "train"
    viral = index.labels[train, LABELS.index("Viral")] == 1
    assert 10 * viral.sum() >= 3 * train.sum()
    assert balanced.generator_name == "pggan"

    short = ["--epochs", 1, "--init", "random", "--min-positives", 1]
    short += ["--network", "shufflenet_v2_x0_5"]
    for name, arm in (("real100", "none"), ("gan100", "gan")):
        manifest = f"data/manifests/{name}.json"
        run("xtrain", "fit", "--shards", manifest, "--arm", arm, "--out", arm, *short)
        report = json.loads((work / arm / "report.json").read_text())
        assert report["manifest"]["digest"] == load_manifest(work / manifest).digest
