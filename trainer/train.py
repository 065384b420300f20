"""The line: manifest → stream → fit → evaluate → report."""

import json
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from builder.contract import (
    Manifest,
    UsageError,
    dataset_root,
    index_root,
    load_index,
    sha256_file,
    write_last,
)
from trainer import report
from trainer.evaluate import evaluate
from trainer.fit import Place, Recipe, fit
from trainer.model import SMALLEST, build, load_into, pick_device
from trainer.stream import Dataset, batches, open_dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One run as asked for, with every default resolved."""

    shards: Path  # the manifest
    shards_root: Path | None  # where the paths of its shards start; None: beside the manifest
    out: Path
    recipe: Recipe
    device: str
    workers: int
    resume: bool

    @property
    def command(self) -> str:
        """The command that repeats the run."""
        words = {"shards": self.shards, "shards-root": self.shards_root, "out": self.out}
        options = words | asdict(self.recipe) | {"device": self.device, "workers": self.workers}
        given = {name: value for name, value in options.items() if value is not None}
        return shlex.join(["xtrain", *(f"--{name}={value}" for name, value in given.items())])

    @property
    def root(self) -> Path:
        """The folder in which the paths of the shards start."""
        return self.shards_root or dataset_root(self.shards)


def train(manifest: Manifest, config: Config) -> report.Facts:
    """What report.json holds, once every file of the run lies in `config.out`.

    Nothing is written before the dataset, the test images included, and the weights to start from
    have proved good. UsageError and CheckError say in one sentence what was wrong.
    """
    check(manifest, config)
    recipe, out = config.recipe, config.out
    place = Place(out=out, device=pick_device(config.device), workers=config.workers)
    index = load_index(manifest, index_root(manifest, config.shards, config.shards_root))
    with open_dataset(manifest, index, root=config.root, workers=config.workers) as data:
        rehearse(data, config)
        model = build(manifest.pathologies, init=recipe.init, seed=recipe.seed)
        facts = describe(manifest, config, place.device)
        with claim(out):
            history = fit(data, model, recipe, place, facts=facts, resume=config.resume)
        load_into(model, out / "best.safetensors")
        evaluation = evaluate(data, model, place, batch=recipe.batch, seed=recipe.seed)
    found = report.gather(data, history, evaluation) | {"command": config.command, "config": facts}
    write_last(out / "predictions.parquet", evaluation.predictions)
    write_last(out / "report.json", (json.dumps(found, indent=2) + "\n").encode())
    write_last(out / "report.md", report.markdown(found).encode())
    write_last(out / "curves.png", report.curves(found, history, manifest.pathologies))
    return found


def check(manifest: Manifest, config: Config) -> None:
    """Raise UsageError where the run cannot start: nothing to learn or choose by, `out` in use."""
    splits = {shard.split for shard in manifest.shardlist}
    image, out = manifest.image, config.out
    if "train" not in splits:
        raise UsageError(f"{config.shards} has no training images.")
    if not any(shard.origin == "real" for shard in manifest.shardlist):
        raise UsageError(
            f"{config.shards} holds the synthetic half alone (--real none): train on a dataset with"
            " its real images."
        )
    if "val" not in splits:
        raise UsageError(
            f"{config.shards} has no validation images to choose the epoch by: build it with"
            " --holdout 0.05 0.05."
        )
    if min(image.height, image.width) < SMALLEST:
        raise UsageError(
            f"Images of {image.height}×{image.width} pixels are too small for DenseNet-121:"
            f" it needs {SMALLEST} at least."
        )
    there = {path.name for path in out.iterdir() if path.name[0] != "."} if out.exists() else set()
    if there and not config.resume:
        raise UsageError(f"{out} is not empty: go on with --resume, or choose another --out.")
    if there and not there & {"config.json", "last.pt"}:
        raise UsageError(f"{out} holds no run to resume: choose another --out.")


def rehearse(data: Dataset, config: Config) -> None:
    """Decode the test images once: a broken one must not show up after the last epoch."""
    rows, size = data.rows("test"), config.recipe.batch
    with closing(batches(data, rows, size=size, workers=config.workers, what="rehearsal")) as test:
        for _ in test:
            pass


def describe(manifest: Manifest, config: Config, device: torch.device) -> report.Facts:
    """What config.json holds: everything that was asked, resolved."""
    recipe, init = config.recipe, Path(config.recipe.init)
    return {
        "manifest": manifest.name,
        "manifest_sha256": manifest.digest,
        "shards": str(config.shards),
        "shards_root": None if config.shards_root is None else str(config.shards_root),
        "out": str(config.out),
        **asdict(recipe),
        "init_sha256": sha256_file(init) if init.is_file() else None,
        "device": str(device),
        "workers": config.workers,
    }


@contextmanager
def claim(out: Path) -> Iterator[None]:
    """The folder `out` from now on; it is gone again if a failure left it empty."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except torch.OutOfMemoryError:
        raise UsageError("The device has not enough memory: choose a smaller --batch.") from None
    finally:
        with suppress(OSError):  # not empty: the run's files stay
            out.rmdir()
