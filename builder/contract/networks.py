"""Networks of torchvision by name, made for grey images: what `--network` may choose.

As torchxrayvision's DenseNet-121, which stands for `densenet121`, they take float32 [B, 1, H, W] in
[-1024, 1024] and give a logit per pathology.
"""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

from builder.contract.errors import UsageError, printable

if TYPE_CHECKING:
    from torch import Tensor, nn

DENSENET = "densenet121"
MIN_SIDE = 29  # pixels; below that, nothing is left for DenseNet-121's last pooling
MEAN, STD = 0.449, 0.226  # of grey in [0, 1]: ImageNet's, the means over its colours
COLOURS = 3
Halves = tuple[Callable[..., "Tensor"], Callable[..., "Tensor"]]
WITH_HELPERS = ("googlenet", "inception_v3")  # their helping outputs of training are left out
_LAST_LAYER = 4096 * 1000  # numbers of the largest last layer, VGG's
_SIDES = 100  # larger sides that are tried, to name one that suits


def network_names() -> tuple[str, ...]:
    """The networks that there are, by name."""
    from torchvision import models

    return tuple(models.list_models(module=models))


def check_name(name: str) -> None:
    """Raise UsageError where no network has that name; it names those that are spelled alike."""
    if name == DENSENET:
        return
    names = network_names()
    if name not in names:
        near = get_close_matches(name, names, 3, 0.5) or (DENSENET, "resnet18", "efficientnet_b0")
        raise UsageError(
            f"--network {printable(name)} is unknown: choose a classifier of torchvision, such as"
            f" {', '.join(near)}."
        )


def least_numbers(name: str) -> int:
    """How many numbers the weights of a network have at least, known before any is made.

    From what torchvision says of it, less the last layer for ImageNet's thousand classes, and a
    part that helps in training alone.
    """
    from torchvision.models import get_model_weights

    weights: Any = get_model_weights(name)
    known = [one.meta["num_params"] for one in weights]
    return max(0, min(known) // 2 - _LAST_LAYER) if known else 0


def shapes_of(name: str, outputs: int, height: int, width: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's weights by name, most networks' without making any."""
    state = _on_meta(name, outputs, height, width).state_dict()
    return {weight: tuple(tensor.shape) for weight, tensor in state.items()}


def check_size(name: str, height: int, width: int) -> None:
    """Raise UsageError where the network cannot take images of that size; it names one that it can.

    The network is tried on torch's device `meta`, where nothing is computed.
    """
    if name == DENSENET:
        if min(height, width) < MIN_SIDE:
            raise UsageError(
                f"Images of {height}×{width} pixels are too small for DenseNet-121:"
                f" it needs at least {MIN_SIDE}."
            )
        return
    check_name(name)
    if _suits(name, height, width):
        return
    larger = next((side for side in _sides(name, height, width) if _suits(name, side, side)), None)
    hint = "choose another network" if larger is None else f"it takes {larger}×{larger}, for one"
    raise UsageError(f"{name} cannot take images of {height}×{width} pixels: {hint}.")


def torchvision_network(name: str, outputs: int, height: int, width: int) -> "nn.Module":
    """The network with so many outputs, for images of that size, its weights random.

    The first convolution of a random one sees what it would of the same grey in three colours.
    UsageError where no network has that name. ValueError or AssertionError: the size does not suit.
    """
    from torch import nn
    from torchvision.models import get_model

    check_name(name)
    options: dict[str, Any] = {"num_classes": outputs}
    if name in WITH_HELPERS:
        options |= {"aux_logits": False, "transform_input": False, "init_weights": True}
    if name.startswith("vit_"):
        options["image_size"] = height
    if name.startswith("maxvit_"):
        options["input_size"] = (height, width)
    network: Any = get_model(name, weights=None, **options)
    first, layer = first_layer(network)
    _put(network, first, _grey(layer))
    if name.startswith("squeezenet"):
        network.classifier[2] = nn.Identity()  # behind its ReLU no logit could be negative
    made: nn.Module = network
    return made


def first_layer(network: "nn.Module") -> "tuple[str, nn.Conv2d]":
    """The first convolution and its name."""
    from torch import nn

    return next(
        (name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)
    )


def last_layer(network: "nn.Module") -> "tuple[str, nn.Linear | nn.Conv2d]":
    """The layer that makes the logits, and its name; a convolution in SqueezeNet."""
    from torch import nn

    layers = [*network.named_modules()]
    return next((n, one) for n, one in layers[::-1] if isinstance(one, nn.Linear | nn.Conv2d))


def halves(network: "nn.Module") -> Halves:
    """(images → features [B, D], features → logits [B, L]): what the last layer sees, and makes.

    The network is taken apart, and cannot be used as a whole afterwards, unless it is
    torchxrayvision's. It should be in evaluation mode.
    """
    from torch import nn

    known: Any = network
    if hasattr(known, "features2"):
        return known.features2, known.classifier
    name, layer = last_layer(network)
    _put(network, name, nn.Identity())
    if isinstance(layer, nn.Linear):
        return network, layer
    return network, lambda pooled: layer(pooled[:, :, None, None]).flatten(1)


def _suits(name: str, height: int, width: int) -> bool:
    import torch

    try:
        network = _on_meta(name, 1, height, width)
        with torch.inference_mode():
            network(torch.zeros(2, 1, height, width, device="meta"))
    except (RuntimeError, ValueError, AssertionError):
        return False
    return True


def _on_meta(name: str, outputs: int, height: int, width: int) -> "nn.Module":
    import torch

    try:
        with torch.device("meta"):
            return torchvision_network(name, outputs, height, width).eval()
    except (RuntimeError, NotImplementedError):  # RegNet computes with tensors as it is made
        return torchvision_network(name, outputs, height, width).eval().to("meta")


def _sides(name: str, height: int, width: int) -> Iterator[int]:
    """Sides above that size that may suit."""
    step = int(name[-2:]) if name.startswith("vit_") else 32 if name.startswith("maxvit_") else 1
    first = max(height, width) // step + 1
    return (step * number for number in islice(range(first, first + _SIDES), _SIDES))


def _grey(layer: "nn.Conv2d") -> "nn.Conv2d":
    """The convolution for one channel in [-1024, 1024]; its weights are sums over the colours."""
    import torch
    from torch import nn

    class GreyConv2d(nn.Conv2d):
        """Standardises grey as ImageNet's networks expect it, which padding then leaves at 0."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            standard = x * (1 / (2048 * STD)) + (0.5 - MEAN) / STD
            return super().forward(standard)

    shape: dict[str, Any] = {
        name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation")
    }
    grey = GreyConv2d(1, layer.out_channels, **shape)
    with torch.no_grad():
        grey.weight.copy_(layer.weight.sum(dim=1, keepdim=True))
        if grey.bias is not None:  # it takes up the colours' means, if weights are ImageNet's
            grey.bias.zero_() if layer.bias is None else grey.bias.copy_(layer.bias)
    return grey


def _put(network: "nn.Module", name: str, layer: "nn.Module") -> None:
    """Give the network that layer in the place of the one of that name."""
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, layer)
