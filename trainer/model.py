"""The classifier before training: a network of `builder.contract.weights`, its weights chosen.

They come from a seed, from ImageNet, or from a file; no file is read with pickle's code.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from builder.contract import CheckError, Manifest, UsageError
from builder.contract.checkpoint import check_finite, load_checkpoint
from builder.contract.networks import DENSENET, MIN_SIDE, last_layer
from builder.contract.weights import load_tensors, make_network, read_header
from trainer.pretrained import Tensors, adapted, fetch, from_imagenet
from trainer.recipe import Recipe


def build_for(manifest: Manifest, recipe: Recipe) -> nn.Module:
    """The classifier of a recipe, for the images and pathologies of a dataset, as `build` says."""
    return build(
        manifest.pathologies,
        init=recipe.init,
        seed=recipe.seed,
        network=recipe.network,
        size=(manifest.image.height, manifest.image.width),
    )


def build(
    pathologies: Sequence[str],
    *,
    init: str,
    seed: int,
    network: str = DENSENET,
    size: tuple[int, int] = (MIN_SIDE, MIN_SIDE),
) -> nn.Module:
    """A classifier float32 [B, 1, H, W] in [-1024, 1024] → logits [B, L], channels last.

    `init` is `random`, `imagenet`, or the path of a `.pth` of torchvision's network of that name or
    of a `best.safetensors`; what a file does not fix (a last layer for other pathologies) is
    seeded. `size` is (H, W).
    """
    torch.manual_seed(seed)
    model = make_network(len(pathologies), network, size)
    if init != "random":
        head, _ = last_layer(model)
        try:
            state = _initial(init, pathologies, network, model)
            fresh = model.state_dict()
            kept = {n: fresh[n] for n in fresh.keys() - state if n.startswith(f"{head}.")}
            model.load_state_dict(state | kept)
        except (ValueError, RuntimeError):
            what = "DenseNet-121" if network == DENSENET else network
            raise CheckError(f"{init} does not hold the weights of a {what}.") from None
        check_finite(model.state_dict(), init)
    return model.to(memory_format=torch.channels_last)  # 1.6 times faster, on a CPU too


def _initial(init: str, pathologies: Sequence[str], network: str, model: nn.Module) -> Tensors:
    """The tensors that `init` fixes, for the model, which is a network of that name."""
    path = Path(init)
    if init == "imagenet":
        found = fetch(network)
    elif not path.is_file():
        raise UsageError(f"--init {init}: there is no such file (or use random or imagenet).")
    elif path.suffix == ".safetensors":
        state, header = load_tensors(path), read_header(path)
        if header.network != network:
            raise ValueError(f"{path} is of the network {header.network}")
        if header.pathologies != tuple(pathologies):
            head, _ = last_layer(model)
            state = {name: state[name] for name in state if not name.startswith(f"{head}.")}
        return state
    else:
        found = load_checkpoint(path)
    return from_imagenet(found) if network == DENSENET else adapted(found, network, model)
