"""Several processes over gloo: each sample once, equal steps, and resumed by another number."""

import csv
import itertools
import json
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.fit.control import Control
from trainer.fit.loop import TrainingRun

SCRIPT = Path(__file__).with_name("rank.py")
Seen = list[tuple[int, int, list[int]]]  # epoch, position, rows: one per step


def told(ranks: int) -> list[dict[str, str]]:
    """What torchrun tells each rank; its own process takes as long to start as one of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    size = dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(ranks))
    same = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"} | size
    return [same | dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)) for rank in range(ranks)]


def alone(asked: dict[str, Any]) -> None:
    """The one rank, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "_note", TrainingRun._note)  # undone: the script replaces both
        patch.setattr(Control, "wish", Control.wish)
        runpy.run_path(str(SCRIPT))["main"](**asked)


def together(asked: dict[str, Any], ranks: int) -> None:
    """Several ranks, each in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LAST": str(ranks - 1)}
    start = [sys.executable, str(SCRIPT), json.dumps(asked)]
    started = [
        subprocess.Popen(start, env=environment | own, stderr=subprocess.PIPE, text=True)
        for own in told(ranks)
    ]
    try:
        errors = [process.communicate(timeout=300)[1] for process in started]
    finally:
        for process in started:
            process.kill()  # those that wait for one that failed
    assert not any(process.returncode for process in started), errors


def launch(root: Path, out: Path, *, ranks: int, **options: Any) -> tuple[int, list[Seen]]:
    """(exit code as each rank saw it, what each rank was shown)."""
    asked = {"stop": 0, "epochs": 2, "resume": False, "seen": f"{out}.seen"} | options
    asked |= {"root": str(root), "out": str(out)}
    if ranks == 1:
        alone(asked)
    else:
        together(asked, ranks)
    found = [json.loads(Path(f"{asked['seen']}.{rank}").read_text()) for rank in range(ranks)]
    assert len({code for code, _ in found}) == 1
    return found[0][0], [rows for _, rows in found]


def merged(parts: list[Seen]) -> list[tuple[int, int, set[int]]]:
    """The batches as all ranks together saw them."""
    assert len({len(part) for part in parts}) == 1, "unequal steps"
    whole = []
    for steps in zip(*parts, strict=True):
        assert len({(epoch, position) for epoch, position, _ in steps}) == 1
        rows = [row for _, _, share in steps for row in share]
        assert len(rows) == len({*rows})
        whole.append((steps[0][0], steps[0][1], {*rows}))
    return whole


def weights(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / "last.pt", weights_only=True)["model"]


# How many ranks go on after each stop: by a signal to the last of them.
@pytest.mark.slow
@pytest.mark.parametrize(
    "ranks", [(2, 1), pytest.param((1, 2, 2, 2), marks=pytest.mark.long)], ids=["two", "all"]
)
def test_two_ranks_are_one_run_and_any_number_goes_on(
    shared: Any, tmp_path: Path, ranks: tuple[int, ...]
) -> None:
    _, one = launch(shared.root, tmp_path / "one", ranks=1)
    unbroken = merged(one)
    _, two = launch(shared.root, tmp_path / "two", ranks=2)
    assert merged(two) == unbroken
    train = {*(shared.index.split == "train").nonzero()[0].tolist()}
    for epoch in (1, 2):
        shown = [rows for number, _, rows in unbroken if number == epoch]
        assert sum(map(len, shown)) == len(train)
        assert set.union(*shown) == train
    a, b = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(a[name], b[name], rtol=1e-3, atol=1e-5) for name in a)
    assert (tmp_path / "one/receipts.csv").read_text() == (
        tmp_path / "two/receipts.csv"
    ).read_text()
    losses = [
        [float(r["train_loss"]) for r in csv.DictReader(text.splitlines())]
        for text in ((tmp_path / n / "history.csv").read_text() for n in ("one", "two"))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)

    out, parts = tmp_path / "elastic", []
    for number, count in enumerate(ranks, start=1):
        stop = 2 if number < len(ranks) else 0  # the third of four stops in validation
        code, seen = launch(shared.root, out, ranks=count, stop=stop, resume=number > 1)
        assert code == (128 + 15 if stop else 0)
        parts.append(merged(seen))
    assert [*itertools.chain(*parts)] == unbroken
    assert [len(part) for part in parts[2:-1]] == [1] * len(parts[2:-1])
    c = weights(out)
    assert all(torch.allclose(a[name], c[name], rtol=1e-3, atol=1e-5) for name in a)
    assert (out / "receipts.csv").read_text() == (tmp_path / "one/receipts.csv").read_text()


@pytest.mark.slow
def test_fewer_shards_than_ranks_do_not_hang(tmp_path: Path, sealer: Callable[..., Any]) -> None:
    counts = {("train", "real"): 30, ("train", "synthetic"): 6, ("val", "real"): 5}
    sealed = sealer(tmp_path / "data", counts=counts)
    _, three = launch(sealed.root, tmp_path / "out", ranks=3, epochs=1)
    assert sum(len(rows) for _, _, rows in merged(three)) == 36


@pytest.mark.slow
def test_torchrun_runs_the_command_and_counts_what_every_rank_could_not_read(
    sealed: Any, tmp_path: Path
) -> None:
    rows = (sealed.index.split == "test").nonzero()[0][:5]
    for row in rows:
        sealed.spoil_image(row)
    asked = [f"--shards={sealed.path}", f"--out={tmp_path / 'run'}", "--init=random", "--epochs=1"]
    asked += ["--device=cpu", "--workers=1", "--skip-bad", "--batch=32", "--sync-batchnorm"]
    code = "import torch; torch.set_num_threads(1); from trainer.cli import main; main()"
    run = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "--no-python"]
    done = subprocess.run(
        [sys.executable, *run, sys.executable, "-c", code, *asked],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert report["config"]["ranks"] == 2
    assert report["unread"] == 5
    keys = [line.split(",")[0] for line in (tmp_path / "run/unread.csv").read_text().splitlines()]
    assert sorted(keys[1:]) == sorted(sealed.index.key[rows])
    assert done.stdout.count("test AUC") == 1
