"""The commands of docs/guide.md and docs/quick-start.md parse, and run as they stand."""

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from builder.cli import cli as xbuild
from builder.contract import load_manifest
from builder.labels.chexpert import CHEXPERT
from trainer.cli import main as xtrain

ROOT = Path(__file__).parents[1]
GUIDE, QUICK = ((ROOT / f"docs/{name}.md").read_text() for name in ("guide", "quick-start"))
COMMANDS = {"xbuild": xbuild, "xtrain": xtrain}
RARE = ("Lung Lesion", "Pleural Other", "Fracture")
SMALLER = {  # what a test on two cores cannot wait for, or a small table does not have
    "--image-size 64": "--image-size 32",
    "--resolution 64 --kimg 500 --fmap-base 512": "--resolution 32 --kimg 0.3 --fmap-base 64",
    "--init random": "--init random --epochs 1 --seeds 1 --batch 16 --min-positives 2 --network "
    "shufflenet_v2_x0_5 --device cpu --jobs 1",
}
STEPS = [
    *("pack", "fit-gan", "plan", "synth", "verify", "audit"),
    *("experiment", "experiment", "share", "share", "verify"),
]


def lines(page: str) -> list[str]:
    """The commands of xbuild and xtrain in a page's blocks."""
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", page, re.M | re.S)
    found = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in found if line.startswith(("xbuild ", "xtrain "))]


MAIN = lines(GUIDE.split("## With MIMIC")[0])
MIMIC = lines(GUIDE.split("## With MIMIC")[1].split("\n## ")[0])


@pytest.mark.parametrize("line", sorted({*lines(GUIDE), *lines(QUICK)}))
def test_a_command_parses(line: str) -> None:
    """With each value of the kind that its option takes; nothing is run."""
    name, *words = shlex.split(line)
    group = COMMANDS[name]
    if words[0].startswith("-"):
        words = ["fit", *words]
    command = group.commands[words[0]]
    with click.Context(group, info_name=name) as parent:
        try:
            assert command.make_context(words[0], words[1:], parent=parent).params
        except click.BadParameter as error:
            assert error.message.endswith("does not exist.")  # noqa: PT017 - a run of the page


def test_the_guide_goes_from_images_to_a_release() -> None:
    assert [line.split()[1] for line in MAIN] == STEPS
    for text in SMALLER:
        assert text in GUIDE, text


def run(line: str, folder: Path, **variables: str) -> str:
    """What a command prints in that folder; it must succeed."""
    words = shlex.split(line)
    done = subprocess.run(
        [Path(sys.executable).with_name(words[0]), *words[1:]],
        cwd=folder,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def chexpert(tmp_path: Path) -> Path:
    """A CheXpert of 1,800 patients with two frontal images each, of 36×40 pixels."""
    random = np.random.default_rng(0)
    root = tmp_path / "CheXpert-v1.0-small"
    rows = []
    for patient in range(1, 1801):
        study = root / f"train/patient{patient:05d}/study1"
        study.mkdir(parents=True)
        chance = [0.04 if name in RARE else 0.2 for name in CHEXPERT]
        found = random.random(len(CHEXPERT)) < chance
        for view in (1, 2):
            pixels = random.normal(90, 12, (36, 40))
            for place in np.flatnonzero(found):
                pixels[2 * place : 2 * place + 3, 4:36] += 60
            image = study / f"view{view}_frontal.jpg"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(image)
            name = f"CheXpert-v1.0-small/{image.relative_to(root)}"
            labels = ["1.0" if label else "" for label in found]
            rows.append([name, "Female", "61", "Frontal", "AP", *labels])
    with (root / "train.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT])
        table.writerows(rows)
    return root


@pytest.fixture
def mimic(chexpert: Path, tmp_path: Path) -> Path:
    """The same images and labels as MIMIC-CXR-JPG has them: a study of one image each."""
    root = tmp_path / "mimic-cxr-jpg"
    labels = pd.read_csv(chexpert / "train.csv")[::2].reset_index(drop=True)
    subject = 10_000_000 + labels.index.to_series()
    table = pd.DataFrame({"subject_id": subject, "study_id": 40_000_000 + subject})
    for (number, study), path in zip(table.to_numpy(), labels["Path"], strict=True):
        file = root / f"files/p10/p{number}/s{study}/{number:08x}.jpg"
        file.parent.mkdir(parents=True)
        (chexpert.parent / path).rename(file)
    table["dicom_id"] = [f"{number:08x}" for number in subject]
    parts = np.select([subject % 10 == 8, subject % 10 == 9], ["validate", "test"], "train")
    tables = {
        "metadata": table.assign(ViewPosition="PA"),
        "chexpert": table[["subject_id", "study_id"]].join(labels[sorted(CHEXPERT)]),
        "split": table.assign(split=parts),
    }
    for name, each in tables.items():
        each.to_csv(root / f"mimic-cxr-2.0.0-{name}.csv.gz", index=False)
    return root


@pytest.mark.long
def test_the_lines_for_mimic_run(mimic: Path, tmp_path: Path) -> None:
    assert [line.split()[1] for line in MIMIC] == ["pack", "plan", "synth"]
    for line in MIMIC:
        here = line.replace("/data/mimic-cxr-jpg", str(mimic)).replace("size 64", "size 32")
        run(here.replace("chest/gan.safetensors", "phantom"), tmp_path)
    manifest = load_manifest(tmp_path / "chest/manifests/gan10.json")
    assert {*manifest.targets} == {*RARE}
    assert manifest.recipe["split"] == "official"


@pytest.mark.long
def test_the_guide_runs_on_a_small_chexpert(chexpert: Path, tmp_path: Path) -> None:
    own = {f"XBUILD_{name}_LABELS": str(chexpert / "train.csv") for name in ("PACK", "PLAN")}
    own |= {"XBUILD_SYNTH_LABELS": str(chexpert / "train.csv"), "XBUILD_ROOT": str(chexpert)}
    own |= {"XBUILD_AUDIT_SAMPLE": "100", "XBUILD_AUDIT_RESAMPLES": "100"}
    release = re.findall(r"<!-- release.toml -->\n```toml\n(.*?)```", GUIDE, re.S)
    (tmp_path / "release.toml").write_text(*release)
    said = []
    for line in MAIN:
        for text, smaller in SMALLER.items():
            line = line.replace(text, smaller)
        said.append(run(line, tmp_path, **own))
    assert "OK" in said[STEPS.index("verify")]
    assert (tmp_path / "chest/runs/report/report.html").is_file()
    manifest = load_manifest(tmp_path / "release/gan10/manifests/gan10.json")
    assert {*manifest.targets} == {*RARE}
    for picture in ("real10", "gan10"):
        assert (tmp_path / f"chest/manifests/{picture}.png").is_file()
    assert (tmp_path / "chest/gan.run/sheet.png").is_file()


@pytest.mark.long
def test_the_quick_start_runs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    for line in lines(QUICK):
        if line.startswith("xbuild rebuild"):
            line += " --anyway"  # as the page says, where versions are others
        run(line.replace("--epochs 1", "--epochs 1 --network shufflenet_v2_x0_5"), tmp_path)
    assert (tmp_path / "try/report/report.html").is_file()


def test_the_guide_reads_no_cause_from_missing_evidence() -> None:
    (advice,) = re.findall(r"^\| \*helped\*, not better than `oversample` \| (.+) \|$", GUIDE, re.M)
    assert advice.startswith("It is not shown that ")
    assert "cheaper" not in advice
