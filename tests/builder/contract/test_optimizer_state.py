"""What an optimizer is given fits its parameters, and its settings stay its own."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from builder.contract.checkpoint import read_inert
from builder.contract.optimizer_state import load_state, state_fits

MAKERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "adam": lambda net: torch.optim.Adam(net.parameters(), lr=0.1),
    "momentum": lambda net: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
}


def stepped(kind: str, width: int = 3) -> torch.optim.Optimizer:
    """An optimizer of a small network, after one step."""
    net = nn.Linear(width, 2)
    optimizer = MAKERS[kind](net)
    net(torch.ones(1, width)).sum().backward()
    optimizer.step()
    return optimizer


def inert(state: dict[str, Any]) -> object:
    file = io.BytesIO()
    torch.save({"state": state}, file)
    return read_inert(file, "it")["state"]


@pytest.mark.parametrize("kind", MAKERS)
def test_its_own_state_fits_and_is_loaded_without_settings(kind: str) -> None:
    state = stepped(kind).state_dict()
    new = MAKERS[kind](nn.Linear(3, 2))
    assert state_fits(inert(state), new)
    state["param_groups"][0]["lr"] = 1e9
    load_state(new, state)
    assert new.param_groups[0]["lr"] == 0.1
    assert new.state_dict()["state"].keys() == state["state"].keys()


@pytest.mark.parametrize("kind", MAKERS)
def test_another_ones_state_does_not_fit(kind: str) -> None:
    optimizer = stepped(kind)
    assert not state_fits(inert(stepped(kind, width=4).state_dict()), optimizer)
    other = next(name for name in MAKERS if name != kind)
    assert not state_fits(inert(stepped(other).state_dict()), optimizer)
    state = optimizer.state_dict()
    state["state"][7] = state["state"][0]
    assert not state_fits(inert(state), optimizer)


@pytest.mark.parametrize("stored", [None, [], {}, {"state": []}, {"state": {"a": {}}}])
def test_what_is_no_state_does_not_fit(stored: object) -> None:
    assert not state_fits(stored, stepped("adam"))
