"""One rank of a run of a small network, for test_ranks.py: `torchrun … rank.py JSON`."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from builder.contract import Refusal, Stopped
from trainer.arms import make_arm
from trainer.fit.control import Control, Place, Wish
from trainer.fit.devices import connect
from trainer.fit.loop import TrainingRun, fit
from trainer.recipe import Recipe, RunConfig
from trainer.stream.batches import Batch, open_dataset
from trainer.stream.locate import locate_folder


def network() -> nn.Module:
    """Without batch normalisation, so that ranks change only the order of sums."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3))


def config_of(epochs: int) -> RunConfig:
    recipe = Recipe(
        epochs=epochs, batch=32, lr=1e-3, optimizer="adam", arm="gan", augment="flip",
        mix="real=1,synthetic=1", steps="equal", init="random", seed=0, precision="fp32",
        accumulate=2, compile=False,
    )  # fmt: skip
    return RunConfig(
        manifest="tiny", manifest_sha256="0" * 64, shards="manifests/tiny.json", shards_root=None,
        out="out", **asdict(recipe), init_sha256=None, device="cpu", ranks=1, workers=2,
        skip_bad=False,
    )  # fmt: skip


def watch(stop: int) -> list[tuple[int, int, list[int]]]:
    """(epoch, position, rows) of each step; SIGTERM comes at wish `stop`, on the last rank."""
    steps: list[tuple[int, int, list[int]]] = []
    note, wish, wishes = TrainingRun._note, Control.wish, [0]

    def watched(run: TrainingRun, batch: Batch, seconds: float) -> None:
        note(run, batch, seconds)
        steps.append((run.state.cursor.epoch, batch.position, batch.rows.tolist()))

    def signalled(control: Control) -> Wish:
        wishes[0] += 1
        if wishes[0] == stop and os.environ.get("RANK", "0") == os.environ.get("LAST", "0"):
            control.signal = 15
        return wish(control)

    TrainingRun._note, Control.wish = watched, signalled  # type: ignore[method-assign]
    return steps


def main(root: str, out: str, stop: int, epochs: int, resume: bool, seen: str) -> None:
    """Run `epochs` epochs; what this rank was shown lies in `seen`.RANK, with its exit code."""
    torch.set_num_threads(1)
    config, steps = config_of(epochs), watch(stop)
    path = Path(root, "manifests/tiny.json")
    with (
        connect("cpu", "fp32") as fabric,
        open_dataset(locate_folder(str(path), None), workers=2) as data,
    ):
        place = Place(out=Path(out), fabric=fabric, control=Control(fabric, 3600), workers=2)
        arm = make_arm(config.recipe, data)
        code = 0
        try:
            fit(data, arm, network(), config, place, resume=resume)
        except (Refusal, Stopped) as error:
            code = error.exit_code
        Path(f"{seen}.{fabric.global_rank}").write_text(json.dumps([code, steps]))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
