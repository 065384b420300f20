"""Weights that torchvision's networks learned on ImageNet → those of the same network for grey."""

import re
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torchvision.models import WeightsEnum, get_model_weights
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from builder.contract import UsageError
from builder.contract.networks import (
    COLOURS,
    DENSENET,
    MEAN,
    STD,
    WITH_HELPERS,
    first_layer,
    last_layer,
)

Tensors = dict[str, torch.Tensor]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_HELPERS = ("aux1.", "aux2.", "AuxLogits.")  # of training alone
_DOTTED = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")  # names before 2018


def fetch(network: str) -> Tensors:
    """The weights of torchvision's network; UsageError says where they are if they cannot be."""
    weights = _weights(network)
    try:
        state: Tensors = weights.get_state_dict(
            progress=sys.stderr.isatty(), check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "reason", error)  # urllib wraps the one that says something
        raise UsageError(
            f"The ImageNet weights cannot be fetched ({reason}): download {weights.url} elsewhere"
            " and pass it as --init PATH, or use --init random."
        ) from None
    return state


def adapted(state: Tensors, network: str, model: nn.Module) -> Tensors:
    """The `state` of torchvision's network without its last layer, for the grey `model`.

    For grey g the network takes (g - mean) / std of each colour, and the model's first convolution
    (g - MEAN) / STD. Both are linear in g, so the sum over the colours goes into its weights and
    what is left into its bias: exact, except where it sees padding. Position embeddings are
    interpolated. ValueError where `state` is another network's.
    """
    head, first = last_layer(model)[0], first_layer(model)[0]
    state = _without(state, (f"{head}.", *_HELPERS))
    weight, bias = state.get(f"{first}.weight"), state.get(f"{first}.bias")
    if not isinstance(weight, torch.Tensor) or weight.shape[1:2] != (COLOURS,):
        raise ValueError(f"expected a state dict of torchvision's {network}")
    mean, std = (torch.tensor(v).double()[:, None, None] for v in _colours(network))
    exact = weight.double()
    offset = (exact * (MEAN - mean) / std).sum(dim=(1, 2, 3))
    state[f"{first}.weight"] = (exact * STD / std).sum(dim=1, keepdim=True).float()
    state[f"{first}.bias"] = (offset if bias is None else offset + bias.double()).float()
    if isinstance(model, VisionTransformer):
        shaped: Any = interpolate_embeddings(model.image_size, model.patch_size, state)
        return dict(shaped)
    return state


def from_imagenet(state: Tensors) -> Tensors:
    """The features of torchvision's densenet121 `state`, for grey x in [-1024, 1024].

    ImageNet's network takes (g - mean) / std of each colour, and g = (x / 1024 + 1) / 2 here. The
    first convolution is linear, so the sum over colours and the scale go into its weights and the
    offset into norm0's running mean: exact, except where the convolution sees padding. The
    weights are kept 1024 times too large, undone by norm0's variance: in the units of x they
    would be so small that a single step of Adam would wipe them out. ValueError where `state` is
    another network's.
    """
    state = _without(state, ("classifier.",))
    first, moments = "features.conv0.weight", ("running_mean", "running_var")
    shapes = {first: (64, 3, 7, 7)} | {f"features.norm0.{name}": (64,) for name in moments}
    if any(getattr(state.get(name), "shape", None) != shape for name, shape in shapes.items()):
        raise ValueError("expected a state dict of torchvision's densenet121")
    mean = torch.tensor(IMAGENET_MEAN).double()[:, None, None]
    std = torch.tensor(IMAGENET_STD).double()[:, None, None]
    weight = state[first].double()
    offset = (weight * (0.5 - mean) / std).sum(dim=(1, 2, 3))
    eps = nn.BatchNorm2d(1).eps
    running_mean, running_var = (state[f"features.norm0.{name}"].double() for name in moments)
    state[first] = (weight / (2 * std)).sum(dim=1, keepdim=True).float()
    state["features.norm0.running_mean"] = (1024 * (running_mean - offset)).float()
    state["features.norm0.running_var"] = (1024**2 * (running_var + eps) - eps).float()
    return state


def _without(state: Tensors, layers: tuple[str, ...]) -> Tensors:
    """The tensors of other layers, by the names that torchvision has given them since 2018."""
    return {
        _DOTTED.sub(r"\1\2", name): tensor
        for name, tensor in state.items()
        if not name.startswith(layers)
    }


def _weights(network: str) -> WeightsEnum:
    every: Any = get_model_weights(network)
    chosen: WeightsEnum = every.IMAGENET1K_V1 if network == DENSENET else every.DEFAULT
    return chosen


def _colours(network: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation by which its input was standardised, for each colour."""
    if network in WITH_HELPERS:  # theirs came from TensorFlow, whose input was in [-1, 1]
        return (0.5,) * COLOURS, (0.5,) * COLOURS
    how: Any = _weights(network).transforms()
    return how.mean, how.std
