"""Interrupted at a boundary and run again, a command ends as if nothing had happened.

`make faults` tries many more of the same.
"""

import importlib.util
import random
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
from injection import Fault
from scenes import Scene

RUN = Path(__file__).with_name("run.py")


@pytest.mark.slow
def test_an_interrupted_command_is_resumed_by_itself() -> None:
    """The faults are drawn anew each time; what is printed holds the seed."""
    seed = random.SystemRandom().randrange(1 << 32)
    done = subprocess.run(
        [sys.executable, RUN, f"--seed={seed}", "--count=5"],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def faults_run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """run.py, with a command that writes one file and hides that the disk is full."""
    spec = importlib.util.spec_from_file_location("faults_run", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclasses look it up
    spec.loader.exec_module(module)

    def hiding(_: str, words: Sequence[object]) -> None:
        with suppress(OSError):
            Path(str(words[0])).mkdir()
            Path(str(words[0]), "file").write_text("whole")

    monkeypatch.setattr(module, "run_inside", hiding)
    return module


def test_a_run_that_ends_with_0_and_other_bytes_is_found(
    faults_run: ModuleType, tmp_path: Path
) -> None:
    scene = Scene("xbuild", lambda _, own: [own / "out"], ["**/*"])
    whole = faults_run.unbroken(scene, tmp_path, tmp_path / "whole")
    assert [*whole.files] == ["out/file"]

    def found(fault: Fault) -> list[str]:
        return [*faults_run.broken(scene, tmp_path, tmp_path / fault.kind, whole, fault)]

    assert found(Fault("EIO", 99)) == []
    first, *_ = found(Fault("ENOSPC", 2))
    assert first == "it ends with 0 and other bytes than those of a whole run: ['out/file']"
