"""The map of a network whose mean its last layer sees: what an activation map is made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import relu

from builder.contract import UsageError
from builder.contract.networks import last_layer

TOLERANCE = 1e-3  # of the logits' size, for the order of sums


def averaged_map(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """float32 [B, C, h, w]: what the last layer sees is its mean over the cells.

    `images` are what the model takes, which is in evaluation mode. That the logits follow from the
    map is proved on them; UsageError where they do not, as in networks with several last layers.
    """
    layer = last_layer(model)[1]
    with _watched(model, layer.weight.shape[1]) as found:
        logits = model(images)
    limit = TOLERANCE * max(1.0, float(logits.abs().max()))
    for maps in (each for last in found[-1:] for each in (last, relu(last))):
        seen = maps.mean(dim=(2, 3))
        if isinstance(layer, nn.Conv2d):
            seen = seen[:, :, None, None]
        if float((layer(seen).flatten(1) - logits).abs().max()) < limit:
            return maps
    raise UsageError(
        f"The last layer of this {type(model).__name__} does not see the mean of a map, so there"
        " are no activation maps of it: use weights of densenet121 or a ResNet, for example."
    )


@contextmanager
def _watched(model: nn.Module, channels: int) -> Iterator[list[torch.Tensor]]:
    """The maps with so many channels in the order in which they are made, once the block has ended.

    Where the network pools such maps, only what it pools.
    """
    found: list[torch.Tensor] = []
    pooled: list[torch.Tensor] = []

    def note(layer: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        pools = isinstance(layer, nn.AdaptiveAvgPool2d)
        value = given[0] if pools else made
        if isinstance(value, torch.Tensor) and value.dim() == 4 and value.shape[1] == channels:
            (pooled if pools else found).append(value)
            del (pooled if pools else found)[:-1]  # only the last one is of use

    handles = [layer.register_forward_hook(note) for layer in model.modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
    found[:] = pooled or found
