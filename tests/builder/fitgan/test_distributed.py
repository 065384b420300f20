"""Ranks share a batch: two processes train as one does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from builder.contract import UsageError
from builder.fitgan.distributed import Ranks, join


def test_two_processes_train_as_one(
    script: Callable[[Path], str], unbroken: Path, tmp_path: Path
) -> None:
    out, path = tmp_path / "gan.safetensors", tmp_path / "ranks.py"
    path.write_text(script(out))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    histories = [p.with_suffix(".run") / "history.csv" for p in (unbroken, out)]
    lines = [path.read_text().splitlines()[1].split(",") for path in histories]
    one, two = ([float(value) for value in line] for line in lines)
    assert one == pytest.approx(two, rel=1e-3, abs=1e-4)  # sums in another order


def test_the_parts_of_all_ranks_are_the_batch() -> None:
    batch = torch.arange(12).reshape(12, 1)
    parts = [Ranks(rank=rank, size=3).part(batch) for rank in range(3)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), batch)


def test_alone_the_first_rank_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert Ranks().agree("bf16", cpu) == "bf16"

    def first(shared: torch.Tensor, source: int) -> None:
        assert source == 0
        shared.fill_(2)

    monkeypatch.setattr(torch.distributed, "broadcast", first)
    assert Ranks(rank=1, size=2).agree(None, cpu) == "bf16"


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(UsageError, match=r"--batch 12 does not .*: use a multiple of 8"),
        join(torch.device("cpu"), 12),
    ):
        pass
