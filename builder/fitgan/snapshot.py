"""The run's state on disk: complete or absent, and read without running anything from the file."""

import io
from dataclasses import asdict
from pathlib import Path

import torch

from builder.contract import CheckError, UsageError, write_last
from builder.contract.checkpoint import check_finite, read_inert, read_tensors
from builder.contract.optimizer_state import load_state, state_fits
from builder.contract.paths import open_file
from builder.contract.record import as_record
from builder.fitgan.history import HistoryRow
from builder.fitgan.train import Networks

_NETWORKS = ("generator", "discriminator", "average")
_OPTIMIZERS = ("g_optimizer", "d_optimizer")


def save(networks: Networks, path: Path) -> None:
    """Put the state at `path`; CheckError where the disk refuses it; the last one is kept."""
    buffer = io.BytesIO()
    state = {
        "iteration": networks.iteration,
        "history": [asdict(row) for row in networks.history],
        **{name: getattr(networks, name).state_dict() for name in (*_NETWORKS, *_OPTIMIZERS)},
    }
    torch.save(state, buffer)
    try:
        write_last(path, buffer.getvalue())
    except OSError as error:
        kept = "the last one is kept; " if path.exists() else ""
        raise CheckError(
            f"Cannot write a snapshot of {buffer.tell() >> 20} MB to {path} "
            f"({error.strerror}): {kept}make room and run the same command."
        ) from None


def restore(networks: Networks, path: Path) -> None:
    """Set the networks to the state at `path`; without a file they stay as they are.

    UsageError where the file is damaged or belongs to other networks.
    """
    if not path.exists():
        return
    try:
        with open_file(path) as file:
            stored = read_inert(file, str(path))
            if not all(state_fits(stored[name], getattr(networks, name)) for name in _OPTIMIZERS):
                raise ValueError("the state of an optimizer is another one's")
            state = read_tensors(file, str(path))
        for name in _NETWORKS:
            getattr(networks, name).load_state_dict(state[name])
            check_finite(state[name], str(path))
        for name in _OPTIMIZERS:
            optimizer = getattr(networks, name)
            load_state(optimizer, state[name])
            for group in optimizer.param_groups:  # to compare; every iteration sets its own
                group["lr"] = float(state[name]["param_groups"][0]["lr"])
        networks.history = [as_record(row, HistoryRow, "history") for row in state["history"]]
        networks.iteration = int(state["iteration"])
    except Exception:  # a damaged or forged file makes torch raise nearly anything
        raise UsageError(
            f"{path} is damaged or belongs to another version: remove {path.parent} to start over."
        ) from None
