"""May a run start, and does its folder belong to it alone?"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import torch

from builder.contract import Manifest, UsageError
from builder.contract.lock import LOCK, NoLocksError, hold, holds
from builder.contract.networks import DENSENET, check_size
from builder.contract.new_file import remove_leftovers
from trainer.fit.fabric import Fabric
from trainer.fit.run_folder import RunFolder


def check_trainable(manifest: Manifest, shards: str, network: str = DENSENET) -> None:
    """Raise UsageError where no run can start: nothing to learn from, or to choose the epoch by.

    Or where the network cannot take its images. `shards` names the manifest in the message.
    """
    splits = {shard.split for shard in manifest.shardlist}
    image = manifest.image
    if "train" not in splits:
        raise UsageError(f"{shards} has no training images.")
    if not any(shard.origin == "real" for shard in manifest.shardlist):
        raise UsageError(
            f"{shards} holds only the synthetic images (--real none): train on a dataset that also"
            " has its real images."
        )
    if "val" not in splits:
        raise UsageError(
            f"{shards} has no validation images to choose the epoch by: build it with"
            " --holdout 0.05 0.05."
        )
    check_size(network, image.height, image.width)


def check_out(out: Path, *, resume: bool) -> None:
    """Raise UsageError where the folder `out` is used for something else.

    `resume`: it may hold an earlier part of the run.
    """
    folder = RunFolder(out)
    names = {path.name for path in out.iterdir() if path.name[0] != "."} if out.exists() else set()
    if names and not resume:
        raise UsageError(f"{out} is not empty: continue with --resume, or choose another --out.")
    # a tracker's files may be there before the first save
    begun = {folder.config.name, folder.last.name, "wandb"}
    if names and not names & begun and not any(".tfevents." in name for name in names):
        raise UsageError(f"{out} holds no run to resume: choose another --out.")
    if folder.weights.name in names and not folder.is_begun():
        raise UsageError(f"The run in {out} has lost its {folder.last.name}: choose another --out.")


@contextmanager
def claim(out: Path, fabric: Fabric) -> Iterator[None]:
    """The folder `out` for this run alone; it is removed again if a failure left it empty.

    What a process that died had begun to write there is removed.
    """
    with _alone(out) if fabric.is_global_zero else nullcontext():
        try:
            yield
        except torch.OutOfMemoryError:
            raise UsageError(
                "The device does not have enough memory: choose a smaller --batch or a larger"
                " --accumulate."
            ) from None


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    nested = holds(
        out
    )  # by a sweep or an experiment: the lock file tells it that the run was begun
    with ExitStack() as stack:
        try:
            if not stack.enter_context(hold(out, wait=None)):
                raise UsageError(
                    f"Another xtrain is writing into {out}: wait for it, or use another --out."
                )
            remove_leftovers(out)
        except NoLocksError:  # the user must keep processes apart
            pass
        try:
            yield
        finally:
            if not nested and [path.name for path in out.iterdir()] == [LOCK]:
                (out / LOCK).unlink()
                with suppress(OSError):  # another process has come meanwhile: its files stay
                    out.rmdir()
