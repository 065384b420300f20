"""A small clinic: 60 radiograph-like files of 24 patients with a label table, made on the spot."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the folder of real radiographs (../shared) is not here")
    return SHARED


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """The label table; its images lie beside it, one is 16-bit, one is colour, sizes differ."""
    return make_clinic(tmp_path / "clinic")


def make_clinic(folder: Path) -> Path:
    folder.mkdir()
    random = np.random.default_rng(7)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "patient", "view", "Mass", "Edema", "Pleural_Thickening"])
        for i in range(60):
            suffix = "png" if i % 3 == 0 else "jpg"
            name = f"{i:03d}.{suffix}"
            height, width = (48, 64) if i % 2 else (70, 50)
            pixels = random.integers(0, 255, (height, width), dtype=np.uint8)
            if i == 0:
                Image.fromarray(pixels.astype(np.uint16) * 257).save(folder / name)
            elif i == 1:
                Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(folder / name)
            else:
                Image.fromarray(pixels).save(folder / name)
            view = "PA" if i % 5 else "Lateral"
            mass, edema = int(i % 7 == 0), ["", "0", "1", "-1"][i % 4]
            rows.writerow([name, f"p{i % 24:02d}", view, mass, edema, int(i % 10 == 3)])
    return folder / "labels.csv"


Xbuild = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def xbuild() -> Xbuild:
    """Run the installed command as a user does; stdout, stderr and exit code come back."""

    def run(*words: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("xbuild"), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    return run


@pytest.fixture
def small(clinic: Path) -> list[object]:
    """Words that build a small dataset from the clinic in about a second."""
    return words_for(clinic)


def words_for(labels: Path) -> list[object]:
    return [
        *("synth", "--dataset", "table", "--labels", labels, "--image-size", 32),
        *("--target", "Mass", "--target", "Pleural_Thickening", "--shard-size", 16),
        *("--holdout", "0.1", "0.1", "--share", "0.2"),
    ]


@pytest.fixture(scope="session")
def sealed_once(tmp_path_factory: pytest.TempPathFactory, xbuild: Xbuild) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    labels = make_clinic(folder / "clinic")
    done = xbuild(
        *words_for(labels), "--uncertain", "mask", "--out", folder / "out", "--workers", 1
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture
def sealed(tmp_path: Path, sealed_once: Path) -> Path:
    """A folder with the sealed dataset gan100 in it, to be spoilt at will."""
    return Path(shutil.copytree(sealed_once, tmp_path / "sealed"))
