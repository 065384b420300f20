"""May a run start, and is its folder its own?"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import torch
from lightning_fabric import Fabric

from builder.contract import Manifest, UsageError
from builder.contract.lock import LOCK, NoLocksError, hold, holds
from builder.contract.weights import MIN_SIDE
from trainer.config import Config


def check_trainable(manifest: Manifest, config: Config) -> None:
    """Raise UsageError where no run can start: nothing to learn or to choose by."""
    splits = {shard.split for shard in manifest.shardlist}
    image = manifest.image
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
    if min(image.height, image.width) < MIN_SIDE:
        raise UsageError(
            f"Images of {image.height}×{image.width} pixels are too small for DenseNet-121:"
            f" it needs {MIN_SIDE} at least."
        )


def check_out(config: Config) -> None:
    """Raise UsageError where `out` is in use by something else."""
    out = config.out
    there = {path.name for path in out.iterdir() if path.name[0] != "."} if out.exists() else set()
    if there and not config.resume:
        raise UsageError(f"{out} is not empty: go on with --resume, or choose another --out.")
    begun = {"config.json", "last.pt", "wandb"}  # or a tracker's file, before the first save
    if there and not there & begun and not any(".tfevents." in name for name in there):
        raise UsageError(f"{out} holds no run to resume: choose another --out.")
    if "best.safetensors" in there and "last.pt" not in there:
        raise UsageError(f"The run in {out} has lost its last.pt: choose another --out.")


@contextmanager
def claim(out: Path, fabric: Fabric) -> Iterator[None]:
    """The folder `out` for this run alone; it is gone again if a failure left it empty.

    What a killed process had not finished to write is cleared away.
    """
    with _alone(out) if fabric.is_global_zero else nullcontext():
        try:
            yield
        except torch.OutOfMemoryError:
            raise UsageError(
                "The device has not enough memory: choose a smaller --batch or a larger"
                " --accumulate."
            ) from None


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    nested = holds(out)  # by a sweep or an experiment, to which its lock says that it was begun
    with ExitStack() as stack:
        try:
            if not stack.enter_context(hold(out, wait=None)):
                raise UsageError(
                    f"Another xtrain is writing into {out}: wait for it, or use another --out."
                )
            for leftover in out.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)
        except NoLocksError:  # only the user's care keeps runs apart
            pass
        try:
            yield
        finally:
            if not nested and [path.name for path in out.iterdir()] == [LOCK]:
                (out / LOCK).unlink()
                with suppress(OSError):  # another process has come meanwhile: its files stay
                    out.rmdir()
