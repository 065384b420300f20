"""The state of an optimizer in a file of a stranger: it must fit, and it decides no setting."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from builder.contract.checkpoint import StoredTensor

if TYPE_CHECKING:
    from torch.optim import Optimizer


def state_fits(stored: object, optimizer: "Optimizer") -> bool:
    """Whether `stored`, as `read_inert` gives it, is a state of this optimizer's parameters.

    A parameter that was never updated may have none.
    """
    shapes = [tuple(p.shape) for group in optimizer.param_groups for p in group["params"]]
    states = stored.get("state") if isinstance(stored, dict) else None
    if not isinstance(states, dict) or any(type(number) is not int for number in states):
        return False
    adam = "betas" in optimizer.defaults
    return all(
        0 <= number < len(shapes) and _fits(part, shapes[number], adam=adam)
        for number, part in states.items()
    )


def load_state(optimizer: "Optimizer", facts: Mapping[str, Any]) -> None:
    """Give the optimizer the state in `facts`; settings, such as its learning rate, stay its own.

    Anything may be raised where `state_fits` was not asked first.
    """
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": facts["state"], "param_groups": groups})


def has_shape(part: object, shape: tuple[int, ...]) -> bool:
    """Whether it is a tensor of that shape."""
    return isinstance(part, StoredTensor) and part.shape == shape


def _fits(part: object, shape: tuple[int, ...], *, adam: bool) -> bool:
    """Whether it is what the optimizer keeps of a parameter of that shape, or nothing yet."""
    names = {"step", "exp_avg", "exp_avg_sq"} if adam else {"momentum_buffer"}
    if not isinstance(part, dict) or part.keys() not in (names, set()):
        return False
    shapes: dict[str, tuple[int, ...]] = {"step": ()}
    return all(
        has_shape(value, shapes.get(name, shape)) or (value is None and not adam)
        for name, value in part.items()
    )
