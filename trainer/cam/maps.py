"""Maps of images by a network: a logit per cell; their mean plus the bias is its logit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import relu

from builder.contract import Bytes, CheckError, UsageError
from builder.contract.networks import last_layer
from builder.contract.radiograph import BadImage
from builder.contract.weights import scale
from trainer.cam.averaged import averaged_map

Map = npt.NDArray[np.float32]

AT_ONCE = 8  # images through the network; there are few of them in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Cam:
    """The map of one image for one pathology."""

    pathology: str
    origin: str = ""  # real or synthetic; "" for a file, as the split
    split: str = ""
    key: str  # of the sample, or the file's name
    image: Bytes  # uint8 [H, W]
    map: Map  # [h, w], logits; positive speaks for the pathology
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cams:
    """The maps of several pathologies, which maps are missing, and which images were left out."""

    pathologies: tuple[str, ...]
    cams: tuple[Cam, ...]
    notes: Mapping[str, str]  # by pathology: why it has fewer images than were asked for
    skipped: tuple[BadImage, ...]

    def of(self, pathology: str) -> list[Cam]:
        """The maps of one pathology."""
        return [cam for cam in self.cams if cam.pathology == pathology]

    def limit(self, pathology: str) -> float:
        """The largest magnitude in its maps: one scale for all, so that they can be compared."""
        return max((float(np.abs(cam.map).max()) for cam in self.of(pathology)), default=0.0)


@torch.inference_mode()
def activation_maps(
    model: nn.Module, images: torch.Tensor, outputs: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(maps float32 [B, K, h, w], probabilities float32 [B, K]) on the CPU, of K outputs by number.

    `images` are uint8 [B, 1, H, W]; a cell covers 32×32 pixels in most networks. The bias is in no
    map. The model is left in evaluation mode. UsageError where its last layer sees no mean of maps.
    """
    network: Any = model.eval()
    last, chosen = last_layer(model)[1], list(outputs)
    x = scale(images.to(last.weight.device))
    usual = hasattr(network, "features2")  # torchxrayvision's DenseNet
    features = relu(network.features(x)) if usual else averaged_map(model, x)
    maps = torch.einsum("kc,bchw->bkhw", last.weight.flatten(1)[chosen], features).float()
    logits = maps.mean(dim=(2, 3)) + (0 if last.bias is None else last.bias[chosen])
    return maps.cpu(), torch.sigmoid(logits).cpu()


def make_cams(
    model: nn.Module, outputs: Mapping[str, int], images: torch.Tensor, keys: Sequence[str]
) -> list[Cam]:
    """Every image's for every pathology, without origin or split; `outputs` are numbers by name."""
    try:
        maps, probabilities = activation_maps(model, images, [*outputs.values()])
    except torch.OutOfMemoryError:
        raise UsageError(
            f"The device does not have the memory for {len(images)} images: use --device cpu."
        ) from None
    if not maps.isfinite().all():
        raise CheckError("The maps of these weights are not all finite: use those of another run.")
    return [
        Cam(
            pathology=pathology,
            key=key,
            image=images[i, 0].numpy(),
            map=maps[i, k].numpy(),
            probability=float(probabilities[i, k]),
        )
        for i, key in enumerate(keys)
        for k, pathology in enumerate(outputs)
    ]
