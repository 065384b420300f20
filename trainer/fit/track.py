"""Live curves of a run, in addition to its history.csv: for TensorBoard and Weights & Biases.

A run that is resumed continues the same curves, and no step is drawn twice.

    out/events.out.tfevents.*    tensorboard --logdir runs
    out/wandb/                   the files of W&B; `wandb sync` sends them after WANDB_MODE=offline
    out/wandb/run-id             the name of the run at W&B, by which it is resumed
"""

import importlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from builder.contract import CheckError, UsageError, write_last
from trainer.recipe import RunConfig

TrackerName = Literal["tensorboard", "wandb"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)


class Tracker(Protocol):
    """A service that draws curves."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Draw the values at a step; steps never decrease."""

    def close(self) -> None:
        """Finish the curves; nothing is logged afterwards."""


def require(names: Sequence[TrackerName]) -> None:
    """Raise UsageError where the package of a tracker is not installed."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            raise UsageError(
                f"--track {name} needs a package that is not installed: pip install"
                " 'cxr-rebalance[track]'."
            ) from None


def trackers(
    names: Sequence[TrackerName], *, out: Path, name: str, config: RunConfig, resume: bool
) -> list[Tracker]:
    """One open tracker for each of `names`; `name` and `config` are what they show of the run.

    `resume`: the run may continue an earlier one in `out`.
    """
    require(names)
    opened: list[Tracker] = []
    if "tensorboard" in names:
        opened.append(TensorBoard(out, config=config, resume=resume))
    if "wandb" in names:
        opened.append(WandB(out, name=name, config=config, resume=resume))
    return opened


class TensorBoard:
    """Event files in `out`; the first one is made with the first values."""

    def __init__(self, out: Path, *, config: RunConfig, resume: bool) -> None:
        """Nothing is written yet."""
        self._out, self._config, self._resume = out, config, resume
        self._writer: Any = None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Draw the values at a step."""
        if self._writer is None:
            self._writer = self._open(step)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # a killed run has shown all that it logged

    def _open(self, step: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        # Steps that a killed run took after its last checkpoint are taken again from here.
        writer: Any = SummaryWriter(str(self._out), purge_step=step if self._resume else None)
        text = json.dumps(asdict(self._config), indent=4)
        writer.add_text("config", "    " + text.replace("\n", "\n    "), step)
        return writer

    def close(self) -> None:
        """Finish the event file."""
        if self._writer is not None:
            self._writer.close()


class WandB:
    """A run at W&B, in the project WANDB_PROJECT, by default `cxr-rebalance`."""

    def __init__(self, out: Path, *, name: str, config: RunConfig, resume: bool) -> None:
        """Start the run, or resume the one whose name is in `out`."""
        import wandb

        remembered = out / "wandb" / "run-id"
        if not (resume and remembered.is_file()):
            write_last(remembered, secrets.token_hex(8).encode())
        try:
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "cxr-rebalance"),
                dir=out,
                name=name,
                config=asdict(config),
                id=remembered.read_text().strip(),
                resume="allow",
                settings=wandb.Settings(console="off"),  # or the progress bars are torn
            )
        except wandb.Error as error:  # perhaps the network failed: no reason to lose a run
            reason = str(error).partition("\n")[0]
            raise CheckError(
                f"W&B did not start the run ({reason}): try `wandb login`, or"
                " WANDB_MODE=offline and `wandb sync` later."
            ) from None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Draw the values at a step; W&B ignores steps that it has already."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Send what is left, and wait for it."""
        self._run.finish()
