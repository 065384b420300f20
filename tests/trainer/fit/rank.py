"""One rank of a run of a small network, for test_ranks.py: `torchrun … rank.py JSON`."""

import json
import os
import sys
from pathlib import Path

import torch
from torch import nn

from builder.contract import Refusal, load_index, load_manifest
from trainer.arms import EVEN, make_arm
from trainer.fit.control import Control, Place, Wish
from trainer.fit.devices import connect
from trainer.fit.loop import Run, fit
from trainer.recipe import Recipe
from trainer.stream.batches import open_dataset
from trainer.stream.shards import Folder


def network() -> nn.Module:
    """Without batch normalisation, so that ranks change only the order of sums."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3))


def main(root: str, out: str, stop: int, epochs: int, resume: bool, seen: str) -> None:
    """Run `epochs` epochs; SIGTERM is noted after `stop` looks, on the last rank alone."""
    torch.set_num_threads(1)
    path = Path(root, "manifests/tiny.json")
    manifest = load_manifest(path)
    index = load_index(manifest, Path(root))
    recipe = Recipe(
        epochs=epochs, batch=32, lr=1e-3, optimizer="adam", arm="gan", augment="flip",
        mix="real=1,synthetic=1", steps="equal", init="random", seed=0, precision="fp32",
        accumulate=2, compile=False,
    )  # fmt: skip
    rows: list[tuple[int, int, list[int]]] = []
    note, wish, looks = Run._note, Control.wish, [0]

    def watched(run: Run, batch: object, seconds: float) -> None:
        note(run, batch, seconds)
        rows.append((run.state.cursor.epoch, batch.position, batch.rows.tolist()))

    def signalled(control: Control) -> Wish:
        looks[0] += 1
        if looks[0] == stop and os.environ.get("RANK", "0") == os.environ.get("LAST", "0"):
            control.signal = 15
        return wish(control)

    Run._note, Control.wish = watched, signalled
    with (
        connect("cpu", "fp32") as fabric,
        open_dataset(manifest, index, source=Folder(Path(root)), workers=2) as data,
    ):
        place = Place(out=Path(out), fabric=fabric, control=Control(fabric, 3600), workers=2)
        arm = make_arm("gan", data, epochs=epochs, seed=0, augment="flip", mix=EVEN, steps="equal")
        code = 0
        try:
            fit(data, arm, network(), recipe, place, facts={}, resume=resume)
        except Refusal as error:
            code = error.exit_code
        Path(f"{seen}.{fabric.global_rank}").write_text(json.dumps([code, rows]))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
