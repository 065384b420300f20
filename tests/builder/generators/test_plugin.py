"""The documented plug-in, docs/plugin, installed as a lab does and used by the real command."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder.contract import load_manifest, sha256_file

PLUGIN = Path(__file__).parents[3] / "docs" / "plugin"

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the package is installed, from a copy: a build leaves files behind."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(PLUGIN, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    words = [*pip, "--no-build-isolation", "--target", str(folder / "site"), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.mark.parametrize("trained", [False, True], ids=["lab", "lab:weights"])
def test_a_dataset_is_rendered_with_a_generator_from_another_package(
    package: Path,
    trained: bool,
    small: list[object],
    tmp_path: Path,
    installed: Xbuild,
    xbuild: Xbuild,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(package))
    identity = package / "lab_gan.py"
    name = "lab"
    if trained:
        identity = tmp_path / "weights.npy"
        np.save(identity, np.random.default_rng(0).normal(size=(19, 64, 64)))
        name = f"lab:{identity}"
    done = installed(*small, "--generator", name, "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "out" / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    assert manifest.generator["name"] == manifest.recipe["generator"] == "lab"
    assert manifest.generator["labels"] == ["Mass", "Edema", "Pleural Thickening"]
    assert manifest.generator["sha256"] == sha256_file(identity)
    assert manifest.plan.synthetic > 0
    checked = xbuild("verify", path)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "OK" in checked.stdout


def test_without_the_package_its_name_is_unknown(
    small: list[object], tmp_path: Path, xbuild: Xbuild
) -> None:
    done = xbuild(*small, "--generator", "lab", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "No generator is called 'lab'" in done.stderr
