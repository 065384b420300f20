"""Killed at random moments and called again, every command ends as if unbroken."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.fit.run_folder import RunFolder
from trainer.stream.order import Cursor

ENDS = {"history.csv", "receipts.csv", "best.safetensors", "predictions.parquet"}


def start(words: list[str]) -> "subprocess.Popen[str]":
    code = "import torch; torch.set_num_threads(1); from trainer.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def arguments(command: str, shared: Any, out: Path) -> list[str]:
    few = ("--epochs=2", "--init=random", "--device=cpu", "--augment=flip", "--workers=1")
    few += ("--network=shufflenet_v2_x0_5",)
    grid = ("--lr=0.001", "--batch=16", "--optimizer=adam", "--optimizer=momentum")
    if command == "experiment":
        arms = ("--arm=none", "--arm=gan", "--seeds=1", "--batch=16", "--min-positives=5")
        return [command, str(shared.path), f"--out={out}", *few, *arms]
    asked = [command, f"--shards={shared.path}", f"--out={out}", *few]
    return [*asked, *grid] if command == "sweep" else [*asked, "--batch=16", "--resume"]


def position(out: Path) -> int:
    """Images that the checkpoints below `out` are past, all epochs and runs together."""
    found = 0
    for path in out.rglob("last.pt"):
        at = Cursor.from_json(torch.load(path, weights_only=True)["cursor"])
        found += (at.epoch - 1) * 129 + at.position
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    ["fit", *(pytest.param(name, marks=pytest.mark.long) for name in ("sweep", "experiment"))],
)
def test_killed_at_random_moments_it_ends_like_the_unbroken_run(
    shared: Any, tmp_path: Path, command: str
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    asked = arguments(command, shared, whole)
    began = time.monotonic()
    unbroken = start(asked)
    assert unbroken.wait(timeout=300) == 0, unbroken.stderr
    seconds = time.monotonic() - began
    unbroken.stderr.close()

    seed, kills = random.randrange(2**32), []
    moments = random.Random(seed)
    while True:
        how, minutes = ((signal.SIGKILL, 0), (signal.SIGTERM, 60))[len(kills) % 2]
        run = start([*arguments(command, shared, broken), f"--checkpoint-minutes={minutes}"])
        patience = moments.uniform(0.2, 0.45) * seconds if len(kills) < 2 else 300
        try:
            assert run.wait(timeout=patience) == 0, run.stderr.read()
            run.stderr.close()
            break
        except subprocess.TimeoutExpired:
            before = position(broken)  # with --checkpoint-minutes=60, of the last epoch or run
            run.send_signal(how)
            _, said = run.communicate(timeout=120)
            kills.append((how, run.returncode, said, before, position(broken)))
    assert kills, seed
    for how, code, said, before, after in kills:
        assert after >= before  # a checkpoint is never lost
        if how == signal.SIGTERM and code > 0:
            assert code == 128 + signal.SIGTERM
            assert after > before or "images of epoch" not in said
            assert said.splitlines()[-1].startswith("Stopped")
            assert "Traceback" not in said
    ends = [
        {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.name in ENDS}
        for out in (whole, broken)
    ]
    assert ends[0] == ends[1], seed
    assert {path.name for path in ends[0]} == ENDS
    reports = {"fit": 1, "sweep": 1, "experiment": 3}[command]  # two runs, and the page of both
    assert len([*broken.rglob("report.json")]) == reports  # test was looked at once
    assert all(
        len(RunFolder(path.parent).load_notes().history) == 2 for path in broken.rglob("last.pt")
    )
