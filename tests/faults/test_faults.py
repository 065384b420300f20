"""Interrupted at a boundary and run again, a command ends as if nothing had happened.

`make faults` tries many more of the same.
"""

import random
import subprocess
import sys
from pathlib import Path

import pytest

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
