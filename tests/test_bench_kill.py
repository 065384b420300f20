"""benchmarks/kill.py: a build that fails is told from a killed one; each run has other workers."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

XBUILD = """#!/bin/sh
while [ "$1" != --out ]; do shift; done
echo "$4" >> "$(dirname "$0")/workers"
mkdir -p "$2"
{how}
"""


@pytest.fixture
def kill(
    benchmark_script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], int]:
    """The benchmark with three kills of an xbuild that ends as the shell's words say."""

    def run(how: str) -> int:
        (tmp_path / "xbuild").write_text(XBUILD.format(how=how))
        (tmp_path / "xbuild").chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setattr(sys, "argv", ["kill.py", "--kills=3", "--seed=1", "--", "any"])
        return int(benchmark_script("kill").main())

    return run


def test_each_run_has_another_number_of_workers(
    kill: Callable[[str], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kill('sleep 0.4; echo same > "$2/x"') == 0
    assert (tmp_path / "workers").read_text().split() == ["1", "1", "2", "3", "1"]
    assert "killed 3 times, with 1, 2, 3 workers in turn, 1 files, 0 differ" in (
        capsys.readouterr().out
    )


def test_a_build_that_fails_is_no_build_that_ended_before_its_kill(
    kill: Callable[[str], int],
) -> None:
    with pytest.raises(SystemExit) as ended:
        kill('[ "$4" = 1 ] || { echo Broken. >&2; exit 1; }; sleep 0.3')
    said = "A build with --workers 2 that was not killed failed with exit code 1: Broken."
    assert ended.value.code == said
