"""A tiny sealed dataset, a run of a second on it, and what compares two runs."""

import csv
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from builder.fitgan.run import fit_gan
from builder.fitgan.settings import Settings
from builder.fitgan.train import Networks
from builder.progress import Advance

Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Fit = Callable[..., Networks]

LABELS = ("Mass", "Edema", "Hernia")  # Hernia has no positive
SCRIPT = """
from contextlib import contextmanager
from pathlib import Path
import torch
from builder.fitgan.run import fit_gan
from builder.fitgan.settings import Settings
torch.set_num_threads(1)
@contextmanager
def told(title, total):
    counted = iter(range(10**6))
    yield lambda images: print(next(counted), flush=True)
fit_gan(
    Path({manifest!r}), out=Path({out!r}), settings={settings!r}, snapshot_kimg=0.08,
    device=torch.device("cpu"), root=None, progress=told,
)
"""


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> Settings:
    """Settings of a run of a second: 20 iterations with 4 snapshots."""
    size = {"resolution": 16, "fmap_base": 64, "fmap_max": 16, "latent_size": 8}
    return Settings(kimg=0.32, batch=16, precision="fp32", **size)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory, xbuild: Xbuild) -> Path:
    """140 images of 45 patients, 32 pixels, sealed; the labels are LABELS."""
    folder = tmp_path_factory.mktemp("reals")
    random = np.random.default_rng(1)
    ramp = np.outer(np.linspace(0, 255, 32), np.linspace(1, 0, 32))
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "patient", "view", *LABELS])
        for i in range(140):
            pixels = np.clip(ramp + random.normal(0, 20, ramp.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:03d}.png")
            rows.writerow([f"{i:03d}.png", f"p{i % 45}", "PA", int(i % 7 == 0), int(i % 3 == 0), 0])
    words = ["--labels", folder / "labels.csv", "--image-size", 32, "--format", "png"]
    words += ["--target", "Mass", "--share", "0.2", "--workers", 1, "--out", folder]
    done = xbuild("synth", "--dataset", "table", *words)
    assert done.returncode == 0, done.stderr
    return folder / "manifests" / "gan100.json"


@contextmanager
def _quiet(title: str, total: int) -> Iterator[Advance]:  # noqa: ARG001 - the protocol
    yield lambda images: None  # noqa: ARG005


@pytest.fixture(scope="session")
def fit(manifest: Path, tiny: Settings) -> Fit:
    """Train to a file, with the tiny settings and a snapshot every five iterations."""

    def run(out: Path, settings: Settings = tiny, **options: Any) -> Networks:
        usual: dict[str, Any] = {"snapshot_kimg": 0.08, "device": torch.device("cpu")}
        usual |= {"root": None, "progress": _quiet}
        return fit_gan(manifest, out=out, settings=settings, **usual | options)

    return run


@pytest.fixture
def script(manifest: Path, tiny: Settings) -> Callable[[Path], str]:
    """The Python source of a process that does as `fit`, printing a number per iteration."""

    def write(out: Path) -> str:
        return SCRIPT.format(manifest=str(manifest), out=str(out), settings=tiny)

    return write


@pytest.fixture(scope="session")
def unbroken(fit: Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a tiny run that nothing interrupted."""
    out = tmp_path_factory.mktemp("unbroken") / "gan.safetensors"
    fit(out)
    return out


@pytest.fixture
def copied(unbroken: Path, tmp_path: Path) -> Path:
    """Where a copy of the unbroken run's folder waits to be spoilt; the result is not there."""
    shutil.copytree(unbroken.with_suffix(".run"), tmp_path / "gan.run")
    return tmp_path / "gan.safetensors"


@pytest.fixture(scope="session")
def check_same() -> Callable[[Path, Path], None]:
    """Assert that two runs left the same weights, history, curves, recipe and state."""

    def check(one: Path, other: Path) -> None:
        assert one.read_bytes() == other.read_bytes()
        folders = [path.with_suffix(".run") for path in (one, other)]
        for name in ("history.csv", "curves.png", "recipe.json"):
            first, second = ((folder / name).read_bytes() for folder in folders)
            assert first == second, name
        states = [torch.load(folder / "snapshot.pt", weights_only=True) for folder in folders]
        torch.testing.assert_close(*states, rtol=0, atol=0)

    return check
