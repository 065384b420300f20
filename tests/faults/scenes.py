"""The commands that are interrupted: small ones, each of a second."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

TESTS = Path(__file__).parents[1]
MANIFEST = "sealed/out/manifests/large.json"
HEAVY = (  # what commands import when they need it; a forked process has it at once
    *("builder.build", "builder.cli", "builder.fitgan.run", "trainer.cli", "trainer.train"),
    *("pandas", "pyarrow.csv", "pyarrow.parquet", "scipy.optimize", "sklearn.metrics"),
    *("torchvision.models", "torchxrayvision", "matplotlib.pyplot"),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A command, and which of the files that it leaves are the same after every run."""

    program: str
    words: Callable[[Path, Path], Sequence[object]]  # of the folder of inputs and of its own
    sealed: Sequence[str]  # patterns


def preload() -> None:
    """Import what is heavy."""
    for name in HEAVY:
        importlib.import_module(name)


def make_inputs(folder: Path) -> None:
    """A small clinic with its label table, and a larger one that is sealed."""
    conftest("builder").make_clinic(folder / "clinic")
    large = folder / "large"  # enough for a generator
    large.mkdir()
    random = np.random.default_rng(0)
    rows = ["image,patient,Mass,Edema"]
    for number in range(110):
        pixels = random.integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(large / f"{number}.png")
        rows.append(f"{number}.png,p{number // 2},{number % 3 % 2},{number % 5 % 2}")
    (large / "labels.csv").write_text("\n".join(rows) + "\n")
    run_inside("xbuild", _pack(folder, folder / "sealed", "large"))


def run_inside(program: str, words: Sequence[object]) -> None:
    """The command in this process; it ends by SystemExit unless all went well."""
    sys.argv = [program, *map(str, words)]
    if program == "xbuild":
        from builder.cli import main
    else:
        from trainer.cli import main
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise


def conftest(room: str) -> Any:
    """The module tests/ROOM/conftest.py."""
    spec = importlib.util.spec_from_file_location(f"{room}_conftest", TESTS / room / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look it up
    spec.loader.exec_module(module)
    return module


def _table(inputs: Path, name: str) -> Sequence[object]:
    labels = inputs / name / "labels.csv"
    return ["--dataset", "table", "--labels", labels, "--image-size", 32, "--shard-size", 16]


def _pack(inputs: Path, own: Path, name: str = "clinic") -> Sequence[object]:
    holdout = ("--holdout", "0.15", "0.15", "--workers", 1, "--out", own / "out")
    return ["pack", *_table(inputs, name), "--name", name, *holdout]


def _synth(inputs: Path, own: Path) -> Sequence[object]:
    targets = ("--target", "Mass", "--target", "Pleural_Thickening", "--share", "0.2")
    rest = ("--holdout", "0.1", "0.1", "--workers", 1, "--out", own / "out")
    return ["synth", *_table(inputs, "clinic"), *targets, *rest]


def _fit_gan(inputs: Path, own: Path) -> Sequence[object]:
    size = ("--resolution", 8, "--fmap-base", 16, "--fmap-max", 4, "--latent-size", 4)
    length = ("--kimg", 0.032, "--batch", 8, "--snapshot-kimg", 0.008)
    rest = ("--precision", "fp32", "--device", "cpu", "--out", own / "out" / "gan.safetensors")
    return [
        "fit-gan",
        inputs / MANIFEST,
        *size,
        *length,
        *rest,
    ]


def _fit(inputs: Path, own: Path) -> Sequence[object]:
    rest = ("--init=random", "--device=cpu", "--workers=1", "--batch=16", "--resume", "--epochs=2")
    small = "--network=shufflenet_v2_x0_5"
    return [
        "fit",
        f"--shards={inputs / MANIFEST}",
        "--arm=none",
        small,
        f"--out={own / 'out'}",
        *rest,
    ]


SCENES = {
    "synth": Scene("xbuild", _synth, ["**/*"]),
    "pack": Scene("xbuild", _pack, ["**/*"]),
    "fit-gan": Scene("xbuild", _fit_gan, ["*.safetensors"]),
    "fit": Scene(
        "xtrain",
        _fit,
        ["history.csv", "receipts.csv", "best.safetensors", "predictions.parquet"],
    ),
}
