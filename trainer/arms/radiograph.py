"""The arm `radiograph`: what differs from one radiograph of a chest to the next, at random.

Each image is turned, shifted, zoomed, and changed in brightness and contrast, on the device. How
depends on (seed, epoch, its place in the epoch) alone: it is the same in any batch and after any
restart. Nothing is mirrored: the heart stays on its side. The ranges were chosen by hand, not
tuned.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import grid_sample

from trainer.arms.material import Arm, Material
from trainer.arms.none import none
from trainer.stream.order import random_words

TURN = 7.0  # degrees, at most, to either side
SHIFT = 0.05  # of the height and of the width
ZOOM = 0.08  # larger or smaller by that share
CONTRAST = 0.1  # as zoom, about the middle of grey
BRIGHTNESS = 0.08  # of the range of grey
NUMBERS = 6  # random ones of an image: turn, two shifts, zoom, contrast, brightness


def radiograph(material: Material) -> Arm:
    """The real images alone, changed as radiographs differ."""
    return replace(none(material), augment="radiograph")


def draw(count: int, *, seed: int, epoch: int) -> torch.Tensor:
    """float32 [count, NUMBERS] in [-1, 1): the random numbers of an epoch's images."""
    words = random_words(NUMBERS * count, "radiograph", seed, epoch).reshape(count, NUMBERS)
    return torch.from_numpy((words >> np.uint64(11)).astype(np.float64) / 2**52 - 1).float()


def changed(images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """float32 [B, 1, H, W] in [0, 255]: images uint8 of that shape, changed by `numbers` [B, 6].

    Numbers of 0 change nothing. Beyond an image's edge its last pixels go on.
    """
    numbers = numbers.to(images.device, non_blocking=True)
    turn, down, right, zoom, contrast, brightness = (n[:, None, None] for n in numbers.unbind(1))
    height, width = images.shape[2:]
    # Places in units of half an image, written out: a product of matrices may be rounded to TF32.
    y, x = (((2 * torch.arange(n, device=images.device) + 1) / n - 1) for n in (height, width))
    y, x = y[None, :, None], x[None, None, :]
    cos, sin = torch.cos(turn * math.radians(TURN)), torch.sin(turn * math.radians(TURN))
    size, slant = 1 + ZOOM * zoom, height / width
    across = (cos * x - sin * slant * y) / size - 2 * SHIFT * right
    along = (sin / slant * x + cos * y) / size - 2 * SHIFT * down
    grid = torch.stack([across, along], dim=3)
    moved = grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    factor = (1 + CONTRAST * contrast)[..., None]
    middle = 127.5 + 255 * (BRIGHTNESS * brightness)[..., None]
    return ((moved - 127.5) * factor + middle).clamp(0, 255)
