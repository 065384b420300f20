"""The cores that a process may use are those of its affinity."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from builder.contract.cores import usable_cores

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_on_one_core_sees_one() -> None:
    code = (
        "import os; from builder.contract.cores import usable_cores;"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(usable_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_without_affinity_all_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("process_cpu_count", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert usable_cores() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_nothing_else_counts_the_cores_of_the_machine() -> None:
    counting = re.compile(r"\bcpu_count\(")
    folders = ("builder", "trainer", "benchmarks")
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if counting.search(path.read_text())
    }
    assert found == {"builder/contract/cores.py"}
