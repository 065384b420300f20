"""What code of other packages raises, and which code it is."""

import sys
from pathlib import Path

import pytest
import torch

from builder import plugin
from builder.contract import CheckError, Stopped, UsageError
from builder.plugin import code_sha256, is_out_of_memory, plugin_code


class OutOfMemoryError(RuntimeError):
    """Named as torch's is, which needs a GPU to be raised."""


@pytest.mark.parametrize("error", [UsageError("a"), CheckError("b"), Stopped("c", 15)])
def test_refusals_of_this_project_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, plugin_code("lab", "x", "y"):
        raise error
    assert caught.value is error


def test_a_fault_of_this_project_passes() -> None:
    with pytest.raises(ZeroDivisionError), plugin_code("builder.generators.phantom", "x", "y"):
        raise ZeroDivisionError


def test_a_lack_of_memory_passes_where_the_caller_knows_what_to_do() -> None:
    with pytest.raises(OutOfMemoryError), plugin_code("lab", "x", "y", memory=True):
        raise OutOfMemoryError("full")
    said = pytest.raises(UsageError, match=r"x: it raised OutOfMemoryError \(full\); y")
    with said, plugin_code("lab", "x", "y", UsageError):
        raise OutOfMemoryError("full")


def test_running_out_of_memory_is_recognised_by_its_name() -> None:
    assert is_out_of_memory(OutOfMemoryError("full"))
    assert not is_out_of_memory(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)  # on a CPU torch has no class for it
    assert is_out_of_memory(caught.value)


def test_the_code_of_a_module_alone_is_that_of_the_files_that_begin_as_it_does(
    tmp_path: Path,
) -> None:
    source = tmp_path / "lab.py"
    source.write_text("depth = 4\n")
    first = code_sha256("lab", source)
    (tmp_path / "other.py").write_text("depth = 5\n")
    assert code_sha256("lab", source) == first
    (tmp_path / "lab_layers.py").write_text("depth = 5\n")
    assert code_sha256("lab", source) != first


def test_the_code_of_a_package_is_all_of_it_and_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lab_of_tests"
    (package / "nets").mkdir(parents=True)
    for file in ("__init__.py", "checks.py", "nets/layers.py"):
        (package / file).write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lab_of_tests", raising=False)
    __import__("lab_of_tests")
    first = code_sha256("lab_of_tests.checks", package / "checks.py")
    (package / "nets" / "layers.py").write_text("depth = 4\n")
    assert code_sha256("lab_of_tests.checks", package / "checks.py") != first
    monkeypatch.setattr(plugin, "MAX_FILES", 2)
    with pytest.raises(UsageError, match="The package lab_of_tests has more than 2 Python files"):
        code_sha256("lab_of_tests.checks", package / "checks.py")
