"""When a run saves and when it stops; all of its ranks agree on it."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from builder.contract import Stopped
from builder.contract.ranks import TIMEOUT
from trainer.fit.fabric import Fabric
from trainer.fit.track import Tracker

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Wish(IntEnum):
    """What to do after a step; among several ranks the highest wish holds."""

    GO_ON = 0
    SAVE = 1
    STOP = 2


def stopped(where: str, number: int) -> Stopped:
    """The end of a run by the signal `number`, after everything is saved; `where` it stands."""
    return Stopped(
        f"Stopped {where}, and saved: repeat the command to resume (xtrain fit with --resume).",
        number,
    )


class Control:
    """The clock and the signals, asked after each step."""

    def __init__(self, fabric: Fabric, save_every: float) -> None:
        """Save every `save_every` seconds; all ranks make their Control at the same time."""
        # Flags go over the CPU, because reading one from a GPU waits for the GPU at each step.
        self._group: Any = (
            dist.new_group(backend="gloo", timeout=TIMEOUT) if fabric.world_size > 1 else None
        )
        # Each of several ranks may get a signal twice, from torchrun and from the scheduler.
        self._patience = 10.0 if fabric.world_size > 1 else 0.0
        self._every, self._saved = save_every, time.monotonic()
        self.signal = 0  # the number of the signal that came

    def wish(self) -> Wish:
        """What all ranks should do now."""
        wish = Wish.STOP if self.signal else Wish(time.monotonic() - self._saved >= self._every)
        if self._group is not None:
            flags = torch.tensor([wish, self.signal])
            dist.all_reduce(flags, dist.ReduceOp.MAX, group=self._group)
            wish, self.signal = Wish(int(flags[0])), int(flags[1])
        return wish

    def saved(self) -> None:
        """Start the clock again."""
        self._saved = time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; Stopped if a signal came."""
        time.sleep(seconds)
        if self.signal:
            raise stopped("while waiting", self.signal)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGINT and SIGTERM become wishes; a later signal acts as usual.

        Stopped at the end where nobody asked for a wish: what would come next is not begun.
        """
        first = 0.0

        def note(number: int, _: FrameType | None) -> None:
            nonlocal first
            if not self.signal:
                self.signal, first = number, time.monotonic()
            elif time.monotonic() - first >= self._patience:
                restore()
                signal.raise_signal(number)

        def restore() -> None:
            for which, handler in before.items():
                signal.signal(which, handler)

        before = {number: signal.signal(number, note) for number in SIGNALS}
        try:
            yield
        finally:
            restore()
        if self.signal:  # it came when there was nothing left to stop
            raise stopped("at the end", self.signal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run computes and writes; this decides the speed, not the result."""

    out: Path
    fabric: Fabric
    control: Control
    workers: int  # decode threads
    trackers: Sequence[Tracker] = ()
