"""A snapshot is complete or absent, and a damaged one is refused in a sentence."""

import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from builder.contract import CheckError, UsageError
from builder.fitgan import snapshot
from builder.fitgan.settings import Settings
from builder.fitgan.train import Networks

Fit = Callable[..., Networks]


def spoil_history(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    state["history"][0]["kimg"] = "much"
    torch.save(state, path)


def spoil_optimizer(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    first = state["g_optimizer"]["state"][0]
    first["exp_avg"] = torch.zeros(3)
    torch.save(state, path)


def spoil_weights(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    next(iter(state["average"].values())).fill_(float("nan"))
    torch.save(state, path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"no archive"),
        lambda path: torch.save({"iteration": 3}, path),
        spoil_history,
        spoil_optimizer,
        spoil_weights,
    ],
    ids=["cut off", "another version", "text for a number", "another shape", "no numbers"],
)
def test_a_damaged_snapshot_is_one_sentence(
    fit: Fit, copied: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(copied.with_suffix(".run") / "snapshot.pt")
    with pytest.raises(UsageError, match="is damaged or belongs to another version: remove"):
        fit(copied)


def test_settings_of_the_optimizers_are_not_the_files_to_say(
    fit: Fit, copied: Path, tiny: Settings
) -> None:
    path = copied.with_suffix(".run") / "snapshot.pt"
    state = torch.load(path, weights_only=True)
    for name in ("g_optimizer", "d_optimizer"):
        state[name]["param_groups"][0] |= {"eps": 1e9, "maximize": True}
    torch.save(state, path)
    resumed = fit(copied, replace(tiny, kimg=0.4))
    assert all(
        (group["eps"], group["maximize"]) == (1e-8, False)
        for each in (resumed.g_optimizer, resumed.d_optimizer)
        for group in each.param_groups
    )


def test_a_snapshot_that_asks_for_gigabytes_gets_none(
    fit: Fit, copied: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    asks = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x01\x85R."
    with zipfile.ZipFile(copied.with_suffix(".run") / "snapshot.pt", "w") as archive:
        archive.writestr("archive/data.pkl", asks)
        archive.writestr("archive/version", "3\n")
    with bearable(), pytest.raises(UsageError, match="is damaged or belongs to another version"):
        fit(copied)


def test_no_space_for_a_snapshot_keeps_the_last_one(
    fit: Fit, copied: Path, tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, payload: bytes) -> None:  # noqa: ARG001 - as write_last
        raise OSError(28, "No space left on device")

    kept = (copied.with_suffix(".run") / "snapshot.pt").read_bytes()
    monkeypatch.setattr(snapshot, "write_last", full)
    with pytest.raises(CheckError, match=r"No space left on device.*the last one is kept"):
        fit(copied, replace(tiny, kimg=0.4))
    assert (copied.with_suffix(".run") / "snapshot.pt").read_bytes() == kept
    (copied.with_suffix(".run") / "snapshot.pt").unlink()
    with pytest.raises(CheckError, match=r"No space left on device\): make room"):
        fit(copied, replace(tiny, kimg=0.4))
