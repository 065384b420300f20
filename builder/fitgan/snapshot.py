"""The run's state on disk: written whole or not at all, and read without running anything."""

import io
from pathlib import Path

import torch

from builder.contract import CheckError, UsageError, write_last
from builder.fitgan.train import Networks


def save(networks: Networks, path: Path) -> None:
    """Put the state at `path`; CheckError where the disk will not take it, the last one kept."""
    buffer = io.BytesIO()
    torch.save(networks.state(), buffer)
    try:
        write_last(path, buffer.getvalue())
    except OSError as error:
        raise CheckError(
            f"Cannot write a snapshot of {buffer.tell() >> 20} MB to {path} "
            f"({error.strerror}): the one before is kept; make room and run the same command."
        ) from None


def restore(networks: Networks, path: Path) -> None:
    """Go on from the state at `path`, or from the start where there is none.

    UsageError where the file is damaged or holds other networks.
    """
    if not path.exists():
        return
    try:
        networks.restore(torch.load(path, map_location="cpu", weights_only=True))
    except Exception:  # a damaged or forged file makes torch raise nearly anything
        raise UsageError(
            f"{path} is damaged or of another version: remove {path.parent} to begin anew."
        ) from None
