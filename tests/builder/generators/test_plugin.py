"""The documented plug-in, docs/plugin, installed as a lab does and used by the real command."""

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from builder import generators, plugin
from builder.contract import UsageError, load_manifest, sha256_bytes, sha256_file

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
    name, identity = "lab", sha256_file(package / "lab_gan.py")
    if trained:
        weights = tmp_path / "weights.npy"
        np.save(weights, np.random.default_rng(0).normal(size=(19, 64, 64)))
        name = f"lab:{weights}"
        both = f"{sha256_file(weights)}  weights\n{identity}  code\n"
        identity = sha256_bytes(both.encode())
    done = installed(*small, "--generator", name, "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "out" / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    assert manifest.generator["name"] == manifest.recipe["generator"] == "lab"
    assert manifest.generator["labels"] == ["Mass", "Edema", "Pleural Thickening"]
    assert manifest.generator["sha256"] == identity
    assert manifest.plan.synthetic > 0
    checked = xbuild("verify", path)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "OK" in checked.stdout


FAULTY = """
import numpy as np

class Faulty:
    labels, resolution, latent_size = ("Mass", "Pleural_Thickening"), 32, 4

    def __call__(self, latents, labels):
        raise ValueError("the network wants another shape")

def load(argument, image_size, *, gain="1"):
    if argument:
        np.load(argument)
    if gain != "1":
        gain * 0.5
    return Faulty()

def nothing(argument, image_size):
    pass
"""


@pytest.fixture
def faulty(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    install_package: Callable[[Path, str, str, str], None],
) -> None:
    """An installed package with generators that fail; `gone` has no module."""
    entry_points = (
        "[cxr_rebalance.generators]\nfaulty = faulty_gan:load\n"
        "nothing = faulty_gan:nothing\ngone = faulty_absent:load\n"
    )
    install_package(tmp_path, "faulty_gan", FAULTY, entry_points)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "faulty_gan", raising=False)


CANNOT = "cannot be loaded: it raised"
FAULTS = {
    "option": (
        ["--generator", "faulty", "--generator-option", "gain=0.5"],
        f"The generator faulty {CANNOT} TypeError in line 14 of faulty_gan.py (can't multiply "
        "sequence by non-int of type 'float'); check --generator faulty and its --generator-option,"
        " whose value arrives as text: load must convert it, as docs/plugin shows.",
    ),
    "file": (
        ["--generator", "faulty:missing.npy"],
        f"The generator faulty {CANNOT} FileNotFoundError in line 12 of faulty_gan.py ([Errno 2] No"
        " such file or directory: 'missing.npy'); check --generator faulty:missing.npy, and the "
        "code of its package.",
    ),
    "nothing": (
        ["--generator", "nothing"],
        "The generator nothing is no generator: its load gives a NoneType, and should give a "
        "callable object with labels (names in a tuple), resolution and latent_size (whole "
        "numbers), as docs/plugin shows.",
    ),
    "module": (
        ["--generator", "gone"],
        f"The generator gone {CANNOT} ModuleNotFoundError (No module named 'faulty_absent'); check "
        "--generator gone, and the code of its package.",
    ),
}


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("case", FAULTS)
def test_what_a_plug_in_raises_when_it_is_loaded_is_one_sentence(
    small: list[object], tmp_path: Path, xbuild: Xbuild, case: str
) -> None:
    words, message = FAULTS[case]
    done = xbuild(*small, *words, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"Error: {message}"
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("faulty")
def test_what_a_plug_in_raises_when_it_is_called_is_one_sentence_and_shards_are_kept(
    small: list[object], tmp_path: Path, xbuild: Xbuild
) -> None:
    done = xbuild(*small, "--generator", "faulty", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "Error: The generator faulty cannot make images: it raised ValueError in line 8 of "
        "faulty_gan.py (the network wants another shape); complete shards are kept: mend its "
        "package, and run the same command again."
    )
    assert list((tmp_path / "out/shards/real").glob("*.tar"))


@pytest.fixture
def load_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[generators.Load]:
    """The `load` of a generator in a package, whose network is in a folder of it."""
    folder = tmp_path / "packed_gan" / "nets"
    folder.mkdir(parents=True)
    (tmp_path / "packed_gan" / "__init__.py").write_text("from packed_gan.load import load\n")
    (tmp_path / "packed_gan" / "load.py").write_text("def load(argument, image_size):\n    pass\n")
    (folder / "network.py").write_text("depth = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("packed_gan").load
    for name in ("packed_gan", "packed_gan.load"):
        sys.modules.pop(name)


@pytest.mark.parametrize("trained", [False, True])
def test_corrected_code_anywhere_in_a_package_is_another_generator(
    load_packed: generators.Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: bool
) -> None:
    weights = tmp_path / "weights.npy"
    weights.write_bytes(b"weights")
    argument = str(weights) if trained else ""
    identity = partial(generators._identity, load_packed, argument)
    found = [identity(), identity()]
    (tmp_path / "packed_gan" / "nets" / "network.py").write_text("depth = 4\n")
    found.append(identity())
    (tmp_path / "packed_gan" / "nets" / "blocks.py").touch()
    found.append(identity())
    (tmp_path / "packed_gan" / "nets" / "notes.txt").touch()
    found.append(identity())
    weights.write_bytes(b"other weights")
    found.append(identity())
    assert found[0] == found[1]
    assert found[3] == found[4]
    assert len({*found}) == (4 if trained else 3)
    monkeypatch.setattr(plugin, "MAX_FILES", 3)
    with pytest.raises(UsageError, match="The package packed_gan has more than 3 Python files"):
        identity()


@pytest.mark.usefixtures("faulty")
def test_corrected_code_is_another_generator_though_its_weights_are_the_same(
    tmp_path: Path,
) -> None:
    weights, code = tmp_path / "weights.npy", tmp_path / "faulty_gan.py"
    np.save(weights, np.zeros(1))
    before = generators.find(f"faulty:{weights}", 32).sha256
    code.write_text(f"{FAULTY}\n# corrected\n")
    generators.find.cache_clear()
    assert generators.find(f"faulty:{weights}", 32).sha256 != before


def test_an_option_of_the_documented_plug_in_is_a_number(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(package)
    one, half = (generators.load("lab", 32, (("gain", gain),)) for gain in ("1", "0.5"))
    assert np.array_equal(half.network * 2, one.network)
    assert half.network.dtype == np.float32
    with pytest.raises(
        UsageError, match=r"ValueError in line \d+ of lab_gan\.py .*'loud'.*as text"
    ):
        generators.load("lab", 32, (("gain", "loud"),))


def test_without_the_package_its_name_is_unknown(
    small: list[object], tmp_path: Path, xbuild: Xbuild
) -> None:
    done = xbuild(*small, "--generator", "lab", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "No generator is called 'lab'" in done.stderr
