"""How far a run has come, in one file that holds tensors and plain types alone (weights_only)."""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from builder.contract import CheckError, UsageError, write_last
from trainer.fit.devices import merged, total
from trainer.fit.history import Epoch, Receipt, Timing
from trainer.model import load_checkpoint
from trainer.stream.order import Cursor


@dataclass(slots=True, kw_only=True)
class Partial:
    """What an unfinished epoch has gathered; on several ranks each has its own part."""

    sums: torch.Tensor  # float32 [2]: loss, and known labels it is the sum over
    seen: torch.Tensor  # int32 [N + 1]: how often each row came; last: how many were blank
    seconds: float = 0.0
    waited: float = 0.0

    @classmethod
    def nothing(cls, rows: int, device: torch.device) -> "Partial":
        """The start of an epoch on a dataset of so many rows."""
        seen = torch.zeros(rows + 1, dtype=torch.int32)
        return cls(sums=torch.zeros(2, device=device), seen=seen)

    @property
    def loss(self) -> float:
        """The mean over the known labels."""
        return float(self.sums[0] / self.sums[1].clamp(min=1))

    def gathered(self, fabric: Fabric) -> "Partial":
        """What all ranks have, on the CPU."""
        sums, seen = (total(fabric, values).cpu() for values in (self.sums, self.seen))
        return replace(self, sums=sums, seen=seen)


@dataclass(slots=True, kw_only=True)
class State:
    """The place in the order and all that was noted, weights and optimiser apart."""

    cursor: Cursor
    partial: Partial
    history: list[Epoch] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    unread: dict[int, str] = field(default_factory=dict)  # reason by row

    def gathered(self, fabric: Fabric) -> "State":
        """The state with every rank's part of it."""
        unread = merged(fabric, self.unread)
        return replace(self, partial=self.partial.gathered(fabric), unread=unread)


def save_state(
    path: Path,
    state: State,
    identity: Mapping[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write everything to `path`, whole or not at all; `identity` says whose it is."""
    facts = asdict(state) | {
        "cursor": state.cursor.to_json(),
        "identity": dict(identity),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(facts, buffer)
    write_last(path, buffer.getvalue())


def load_state(
    path: Path,
    identity: Mapping[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    fabric: Fabric,
) -> State:
    """The state in `path`; model and optimiser are as they were then.

    UsageError names the field of `identity` in which it is another run's; CheckError where it is
    damaged. What an epoch had gathered goes to the first rank.
    """
    facts = load_checkpoint(path)
    if not isinstance(begun := facts.get("identity"), dict):
        raise CheckError(f"{path} is not a checkpoint of xtrain.")
    for name, now in identity.items():
        then = begun.get(name)
        if type(then) is not type(now) or then != now:
            raise UsageError(
                f"{path} was begun with {name} {then}, now it is {now}: resume with the same,"
                " or choose another --out."
            )
    try:
        partial = Partial(**facts["partial"])
        state = State(
            cursor=Cursor.from_json(facts["cursor"]),
            partial=replace(partial, sums=partial.sums.to(fabric.device)),
            history=[Epoch(**row) for row in facts["history"]],
            timings=[Timing(**row) for row in facts["timings"]],
            receipts=[Receipt(**row) for row in facts["receipts"]],
            unread=dict(facts["unread"]),
        )
        if not fabric.is_global_zero:
            nothing = Partial.nothing(len(partial.seen) - 1, fabric.device)
            state.partial = replace(nothing, seconds=partial.seconds, waited=partial.waited)
        model.load_state_dict(facts["model"])
        optimizer.load_state_dict(facts["optimizer"])
    except (TypeError, ValueError, RuntimeError, KeyError, IndexError) as error:
        raise CheckError(f"{path} does not fit this version: {error}.") from None
    return state


def load_notes(path: Path) -> tuple[list[Epoch], dict[int, str]]:
    """(history, reason by unread row) of the run whose last.pt is at `path`."""
    if not path.is_file():
        raise UsageError(f"{path} is missing: name the folder of a run that xtrain made.")
    try:
        facts = load_checkpoint(path)
        history = [Epoch(**row) for row in facts["history"]]
        unread = dict(facts["unread"])
    except (TypeError, KeyError):
        raise CheckError(f"{path} is not a checkpoint of xtrain.") from None
    if not history:
        raise UsageError(f"{path} has no finished epoch yet: go on with xtrain fit --resume.")
    return history, unread
