"""Checks of other packages: that of docs/plugin, and some that fail."""

import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.checks import Check, Context, find_checks
from builder.contract import Bytes, CheckError, Sample, UsageError, sha256_file

PLUGIN = Path(__file__).parents[3] / "docs" / "plugin"
LISTED = "[cxr_rebalance.checks]\nlab = lab_of_checks:load\n"
CODE = """
class Lab:
    identity, needs = "lab", ()

    def __init__(self, argument):
        self.argument = argument

    @property
    def software(self):
        if self.argument == "unnamed":
            raise OSError("no list of software")
        return "torch" if self.argument == "torch" else ("numpy",)

    def check_held_out(self, images):
        1 / images

    def prepared(self, context, targets):
        if self.argument == "unready":
            raise KeyError("no such limit")
        return self

    def __call__(self, images, samples):
        if self.argument == "few":
            return [""]
        return [len(images) // 0] * 2 if self.argument == "zero" else [None] * len(images)

def load(argument):
    if argument == "loud":
        raise ValueError("not so loud")
    return 7 if argument == "seven" else Lab(argument)
"""
Install = Callable[[Path, str, str, str], None]


@pytest.fixture
def lab(tmp_path: Path, install_package: Install, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The code of an installed package whose check `lab` fails as its argument says."""
    install_package(tmp_path, "lab_of_checks", CODE, LISTED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lab_of_checks", raising=False)
    return tmp_path / "lab_of_checks.py"


@pytest.fixture
def check(lab: Path) -> Callable[[str], Check]:
    """The check `lab:ARGUMENT`."""
    assert lab.is_file()
    return lambda argument: find_checks([f"lab:{argument}"])[1]


def test_corrected_code_is_another_check(lab: Path, check: Callable[[str], Check]) -> None:
    first = check("").identity
    assert first == f"lab:code:sha256:{sha256_file(lab)}"
    lab.write_text(CODE + "\n# corrected\n")
    assert check("").identity == f"lab:code:sha256:{sha256_file(lab)}" != first


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("loud", r"The check lab cannot be loaded: it raised ValueError in line \d+ of lab_of_c"),
        ("unnamed", r"The check lab cannot be loaded: it raised OSError in line \d+ of lab_of_che"),
        ("torch", "should name distributions in a tuple as its software, and gives a str: mend"),
        ("seven", "The check lab is no check: its function gives an object of the type int, and"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(
    check: Callable[[str], Check], argument: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        check(argument)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("zero", r"The check lab cannot judge images: it raised ZeroDivisionError in line \d+ of"),
        ("few", "for each of 3 images, empty where .*, and gave 1: mend its package"),
        ("none", "for each of 3 images, .*, and gave NoneType: mend its package"),
    ],
)
def test_what_judges_badly_is_one_sentence(
    check: Callable[[str], Check], packed: Callable[..., Context], argument: str, said: str
) -> None:
    judge = pickle.loads(pickle.dumps(check(argument).prepared(packed(), ["Mass"])))
    with pytest.raises(CheckError, match=said):
        judge(np.zeros((3, 8, 8), np.uint8), [])


def test_what_cannot_be_made_ready_is_one_sentence(
    check: Callable[[str], Check], packed: Callable[..., Context]
) -> None:
    with pytest.raises(CheckError, match="The check lab cannot be made ready: it raised KeyError"):
        check("unready").prepared(packed(), ["Mass"])
    with pytest.raises(CheckError, match="cannot be made ready: it raised ZeroDivisionError in"):
        check("").check_held_out(0)  # type: ignore[attr-defined]


@pytest.fixture
def documented(
    tmp_path: Path, install_package: Install, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Check]:
    """The check of docs/plugin."""
    code = (PLUGIN / "lab_check.py").read_text()
    listed = "[cxr_rebalance.checks]\nbrightness = lab_check:load\n"
    assert 'brightness = "lab_check:load"' in (PLUGIN / "pyproject.toml").read_text()
    install_package(tmp_path, "lab_check", code, listed)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lab_check", raising=False)
    return lambda argument: find_checks([f"brightness{argument}"])[1]


def test_the_documented_check_rejects_what_is_darker_than_real_images(
    documented: Callable[[str], Check],
    packed: Callable[..., Context],
    radiographs: Callable[[int, int], Bytes],
    synthetic: Callable[..., Sample],
) -> None:
    images = radiographs(20, 0)
    check = documented(":0.1")
    assert check.identity.startswith("brightness:0.1:code:sha256:")
    assert check.needs == ("val",)
    context = packed(val=(images, np.zeros((20, 2), np.int8)))
    judge = check.prepared(context, ["Mass"])
    samples: Sequence[Any] = [synthetic(0), synthetic(1)]
    assert judge(np.stack([images.mean(axis=0).astype(np.uint8), images[0] // 8]), samples) == [
        "",
        "its brightness is unusual",
    ]
    with pytest.raises(UsageError, match=r"ValueError in line \d+ of lab_check\.py"):
        documented(":much")
