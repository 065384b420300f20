"""Several processes over gloo: each sample once, equal steps, and resumed by another number."""

import csv
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).with_name("rank.py")
Seen = list[tuple[int, int, list[int]]]  # epoch, position, rows: one per step


def launch(root: Path, out: Path, *, ranks: int, **options: Any) -> tuple[int, list[Seen]]:
    """(exit code as each rank saw it, what each rank was shown)."""
    asked = {"stop": 0, "epochs": 2, "resume": False, "seen": str(out) + ".seen"} | options
    words = json.dumps({"root": str(root), "out": str(out), **asked})
    start = [sys.executable, str(SCRIPT), words]
    if ranks > 1:
        run = ["-m", "torch.distributed.run", "--nproc-per-node", str(ranks), "--standalone"]
        start = [sys.executable, *run, *start[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LAST": str(ranks - 1)}
    done = subprocess.run(start, env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
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


@pytest.mark.slow
def test_two_ranks_are_one_run_and_any_number_goes_on(shared: Any, tmp_path: Path) -> None:
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

    out = tmp_path / "elastic"  # one rank, then two, stopped by a signal to the last
    code, first = launch(shared.root, out, ranks=1, stop=2)
    assert code == 128 + 15
    code, second = launch(shared.root, out, ranks=2, stop=2, resume=True)
    assert code == 128 + 15
    code, third = launch(shared.root, out, ranks=2, stop=2, resume=True)  # in validation
    assert code == 128 + 15
    code, fourth = launch(shared.root, out, ranks=2, resume=True)
    assert code == 0
    parts = [merged(part) for part in (first, second, third, fourth)]
    assert [*itertools.chain(*parts)] == unbroken
    assert len(merged(third)) == 1
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
