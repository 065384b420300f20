"""`best.safetensors`, the classifier that xtrain saves: its header, its network, its input.

The network is torchxrayvision's DenseNet-121 with one grey channel and one output (a logit) per
pathology, unless the header names another one (`networks`). It takes float32 [B, 1, H, W] in
[-1024, 1024], which `scale` makes of uint8 images. The header is JSON under the one key METADATA;
the file holds tensors alone and is read without pickle.
"""

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.contract.checkpoint import check_finite
from builder.contract.errors import CheckError, Refusal, UsageError
from builder.contract.image import MAX_SIDE, ImageSpec
from builder.contract.names import check_pathologies
from builder.contract.networks import (
    DENSENET,
    MIN_SIDE,
    check_name,
    least_numbers,
    shapes_of,
    torchvision_network,
)
from builder.contract.record import as_record, parse_json
from builder.contract.tensors import TensorsHeader, read_tensors_header

if TYPE_CHECKING:
    from torch import Tensor, nn

METADATA = "xtrain"  # one header key, because safetensors writes several in random order


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsHeader:
    """What the weights say of themselves; the file holds the run's recipe, too."""

    pathologies: tuple[str, ...]  # the outputs, in order
    image: ImageSpec  # of the images that the network was trained on
    manifest: str  # digest of the dataset
    epoch: int  # the epoch after which they were saved
    network: str = DENSENET  # its name; left out of a file where it is the usual one


def make_network(
    outputs: int, name: str = DENSENET, size: tuple[int, int] = (MIN_SIDE, MIN_SIDE)
) -> "nn.Module":
    """The network of that name with so many outputs, its weights random.

    `size` is an image's height and width, on which some networks depend, though not DenseNet-121.
    """
    if name != DENSENET:
        return torchvision_network(name, outputs, *size)
    with warnings.catch_warnings():  # its import silences every later warning of the process
        from torchxrayvision.models import DenseNet

    network: nn.Module = DenseNet(num_classes=outputs, in_channels=1)
    return network


def scale(images: "Tensor") -> "Tensor":
    """float32 in [-1024, 1024], torchxrayvision's range, from uint8; on the images' device."""
    # The bits of ((x / 255) · 2 - 1) · 1024, because powers of two round nothing.
    return images.float().div_(255).mul_(2048).sub_(1024)


def weights_bytes(
    network: "nn.Module", header: WeightsHeader, recipe: Mapping[str, Any] | None = None
) -> bytes:
    """The file of the network's weights; `recipe` adds what else a reader may want to know."""
    from safetensors.torch import save

    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    facts = {**(recipe or {}), **asdict(header)}
    if header.network == DENSENET:  # as in all files from before there were others
        facts.pop("network")
    return save(tensors, metadata={METADATA: json.dumps(facts)})


def read_header(path: Path) -> WeightsHeader:
    """The header of a file of weights, every field checked.

    UsageError where there is no such file, CheckError where it is not one that xtrain saved.
    """
    if not path.is_file():
        raise UsageError(f"{path} is missing: name the best.safetensors of a run.")
    found = _read_tensors_header(path)
    text = found.metadata.get(METADATA)
    if text is None:
        raise _not_ours(path)
    header = as_record(parse_json(text.encode(), str(path)), WeightsHeader, str(path), exact=False)
    _check(header, {name: entry.shape for name, entry in found.tensors.items()}, path)
    return header


def load_network(path: Path) -> "tuple[nn.Module, WeightsHeader]":
    """The network at `path` on the CPU, ready to score images, and its header.

    UsageError where there is no such file, CheckError where it holds anything else.
    """
    header = read_header(path)
    size = (header.image.height, header.image.width)
    try:
        if header.network != DENSENET:  # which is small
            outputs = len(header.pathologies)
            _check_shapes(shapes_of(header.network, outputs, *size), path)
        network = make_network(len(header.pathologies), header.network, size)
    except (RuntimeError, ValueError, AssertionError):
        raise CheckError(f"{path} is for images that {header.network} cannot take.") from None
    load_into(network, path)
    return network.eval(), header


def load_into(network: "nn.Module", path: Path) -> None:
    """Give the network the weights at `path`; CheckError where they belong to another network.

    The shapes in the file are compared before a tensor is read.
    """
    state = network.state_dict()
    _check_shapes({name: tuple(tensor.shape) for name, tensor in state.items()}, path)
    network.load_state_dict(load_tensors(path))


def load_tensors(path: Path) -> "dict[str, Tensor]":
    """The tensors of a file of weights by name, on the CPU; CheckError where it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _read_tensors_header(path)
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError):
        raise _not_ours(path) from None
    check_finite(tensors, str(path))
    return tensors


def _check_shapes(wanted: Mapping[str, tuple[int, ...]], path: Path) -> None:
    if wanted != {name: each.shape for name, each in _read_tensors_header(path).tensors.items()}:
        raise _other_network(path)


def _read_tensors_header(path: Path) -> TensorsHeader:
    try:
        return read_tensors_header(path)
    except (CheckError, OSError):
        raise _not_ours(path) from None


def _not_ours(path: Path) -> CheckError:
    return CheckError(f"{path} is cut, damaged or not a file that xtrain saved.")


def _other_network(path: Path) -> CheckError:
    return CheckError(f"{path} holds the weights of another network.")


def _check(header: WeightsHeader, shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    names, sides = header.pathologies, (header.image.height, header.image.width)
    try:
        check_pathologies(names)
        check_name(header.network)
    except Refusal as error:
        raise CheckError(f"{path}: {error}") from None
    usual, count = header.network == DENSENET, len(names)
    if not names or not (MIN_SIDE if usual else 1) <= min(sides) <= max(sides) <= MAX_SIDE:
        raise CheckError(f"{path} does not say for which pathologies and image size it is.")
    if usual and "classifier.bias" not in shapes:
        raise _not_ours(path)
    # Checked before anything of that size is made.
    if usual:
        fits = shapes["classifier.bias"] == (count,)
    else:  # where its last layer is, the network itself would tell
        fits = any(len(shape) > 1 and shape[0] == count for shape in shapes.values())
    if not fits:
        raise CheckError(f"{path} does not have one output for each of its {count} names.")
    numbers = sum(math.prod(shape) for shape in shapes.values())
    last = shapes.get("classifier.weight", ())
    if last[:1] != (count,) if usual else numbers < least_numbers(header.network):
        raise _other_network(path)
