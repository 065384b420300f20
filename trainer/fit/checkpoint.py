"""How far a run has come, as one file of tensors and plain types alone (torch's weights_only)."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from builder.contract import CheckError, UsageError, printable
from builder.contract.checkpoint import StoredTensor, check_finite, read_inert, read_tensors
from builder.contract.optimizer_state import has_shape, load_state, state_fits
from builder.contract.paths import open_file
from builder.contract.record import as_record
from trainer.fit.devices import merged, total
from trainer.fit.fabric import Fabric
from trainer.fit.history import Epoch, Receipt, Timing
from trainer.recipe import BEFORE, Recipe, but_for_before
from trainer.stream.order import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which run it is: what must agree to resume it."""

    manifest: str  # digest of the dataset
    recipe: Recipe
    order: str  # Order.digest

    def to_json(self) -> dict[str, object]:
        """The fields in one level, without those that are as in the recipes of earlier versions.

        Without `epochs`, too, where more of them only continue the run.
        """
        recipe = but_for_before(self.recipe)
        if self.recipe.can_go_on:
            del recipe["epochs"]
        return {"manifest": self.manifest, **recipe, "order": self.order}


@dataclass(slots=True, kw_only=True)
class Partial:
    """What an unfinished epoch has gathered; on several ranks each has its own part."""

    sums: torch.Tensor  # float32 [2]: the loss, and the number of known labels in it
    seen: torch.Tensor  # int32 [N + 1]: how often each row came; last: how many were blank
    seconds: float = 0.0
    waited: float = 0.0

    @classmethod
    def nothing(cls, rows: int, device: torch.device) -> "Partial":
        """The start of an epoch on a dataset of `rows` rows."""
        seen = torch.zeros(rows + 1, dtype=torch.int32)
        return cls(sums=torch.zeros(2, device=device), seen=seen)

    @property
    def loss(self) -> float:
        """The mean over the known labels."""
        return float(self.sums[0] / self.sums[1].clamp(min=1))

    def gathered(self, fabric: Fabric) -> "Partial":
        """The parts of all ranks together, on the CPU."""
        sums, seen = (total(fabric, values).cpu() for values in (self.sums, self.seen))
        return replace(self, sums=sums, seen=seen)


@dataclass(slots=True, kw_only=True)
class RunState:
    """The place in the order and all that was noted; weights and optimizer are not in it."""

    cursor: Cursor
    partial: Partial
    history: list[Epoch] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    unread: dict[int, str] = field(default_factory=dict)  # reason by row

    def gathered(self, fabric: Fabric) -> "RunState":
        """The state with every rank's part of it."""
        unread = merged(fabric, self.unread)
        return replace(self, partial=self.partial.gathered(fabric), unread=unread)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a checkpoint holds apart from tensors; the annotations are its schema."""

    identity: dict[str, str | int | float | bool | None]  # Identity.to_json
    cursor: str
    history: list[Epoch]
    timings: list[Timing]
    receipts: list[Receipt]
    unread: dict[int, str]


def checkpoint_bytes(
    state: RunState, identity: Identity, model: nn.Module, optimizer: torch.optim.Optimizer
) -> bytes:
    """The file of a run: its state, its weights and those of the optimizer."""
    facts = asdict(state) | {
        "cursor": state.cursor.to_json(),
        "identity": identity.to_json(),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(facts, buffer)
    return buffer.getvalue()


def read_notes(path: Path) -> Notes:
    """The plain part of the checkpoint at `path`; CheckError says what is wrong with it."""
    with open_file(path) as file:
        return as_record(read_inert(file, str(path)), Notes, str(path), exact=False)


def restore(
    path: Path,
    identity: Identity,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    fabric: Fabric,
) -> RunState:
    """The state in the checkpoint at `path`; model and optimizer get the weights of that time.

    UsageError names the field of `identity` in which it is another run's; CheckError where it is
    damaged. The first rank gets what the unfinished epoch had gathered.
    """
    with open_file(path) as file:
        stored = read_inert(file, str(path))
        notes = as_record(stored, Notes, str(path), exact=False)
        _check_same(notes.identity, identity.to_json(), path)
        cursor = Cursor.from_json(notes.cursor)
        if wrong := next(_misfits(stored, model, optimizer), None):
            raise CheckError(f"{path} does not fit this version: {wrong}.")
        facts = read_tensors(file, str(path))
    check_finite(facts["model"], str(path))
    try:
        partial = _own_part(Partial(**facts["partial"]), fabric)
        model.load_state_dict(facts["model"])
        load_state(optimizer, facts["optimizer"])
    except (AttributeError, TypeError, ValueError, RuntimeError, LookupError) as error:
        raise CheckError(f"{path} does not fit this version: {printable(str(error))}.") from None
    return RunState(
        cursor=cursor,
        partial=partial,
        history=notes.history,
        timings=notes.timings,
        receipts=notes.receipts,
        unread=notes.unread,
    )


def check_state(state: RunState, rows: int, pathologies: int, path: Path) -> None:
    """CheckError unless the state is of a run on `rows` rows and so many pathologies."""
    epochs = range(1, len(state.history) + 1)
    numbered = (state.history, state.timings, state.receipts)
    if (
        len(state.partial.seen) != rows + 1
        or not all(0 <= row < rows for row in state.unread)
        or any([row.epoch for row in part] != [*epochs] for part in numbered)
        or any(len(row.val_auc) != pathologies for row in state.history)
        or state.cursor.epoch != len(epochs) + 1
    ):
        raise CheckError(f"{path} is damaged: its epochs or rows are not those of such a run.")


def _misfits(
    stored: Mapping[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer
) -> Iterator[str]:
    """What is not as model and optimizer need it, before a tensor is read."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    weights, parts = stored.get("model"), stored.get("optimizer")
    if not isinstance(weights, dict) or weights.keys() != shapes.keys():
        yield "its weights have other names"
    elif wrong := [name for name, part in weights.items() if not has_shape(part, shapes[name])]:
        yield f"its weights {wrong[0]} have another shape"
    if not state_fits(parts, optimizer):
        yield "the state of its optimizer is another one's"
    partial = stored.get("partial")
    if not isinstance(partial, dict) or partial.keys() != {"sums", "seen", "seconds", "waited"}:
        yield "it has no unfinished epoch"
    elif not (
        has_shape(partial["sums"], (2,))
        and isinstance(partial["seen"], StoredTensor)
        and (len(partial["seen"].shape), partial["seen"].storage) == (1, "IntStorage")
        and all(type(partial[name]) is float for name in ("seconds", "waited"))
    ):
        yield "its unfinished epoch is damaged"


def _own_part(partial: Partial, fabric: Fabric) -> Partial:
    """All of it for the first rank, nothing but the times for the others."""
    if fabric.is_global_zero:
        return replace(partial, sums=partial.sums.to(fabric.device))
    nothing = Partial.nothing(len(partial.seen) - 1, fabric.device)
    return replace(nothing, seconds=partial.seconds, waited=partial.waited)


def _check_same(begun: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Raise UsageError where the run was begun as another one."""
    for name in (*now, *(begun.keys() - now.keys())):
        then, value = ({**BEFORE, **facts}.get(name) for facts in (begun, now))
        if type(then) is not type(value) or then != value:
            raise UsageError(
                f"{path} was begun with {printable(f'{name} {then}')}, now it is {value}: resume"
                f" with the same {printable(name)}, or choose another --out."
            )
