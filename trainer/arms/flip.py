"""The arm `flip`: the paper's standard augmentation; images are flipped on the device.

Whether an image is flipped depends on (seed, epoch, its place in the epoch) alone: it is the same
in any batch, on any device and after any restart.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from trainer.arms.material import Arm, Material
from trainer.arms.none import none
from trainer.arms.radiograph import changed, draw
from trainer.recipe import Augment
from trainer.stream.order import random_words

Augmentation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (images, places) → images


def flip(material: Material) -> Arm:
    """The real images alone, flipped at random."""
    return replace(none(material), augment="flip")


def augmentation(kind: Augment, *, count: int, seed: int, epoch: int) -> Augmentation:
    """The augmentation of one epoch of `count` images: (images, places) → images.

    `none` changes nothing. `flip` flips each image upside down, and left to right, with
    probability one half each, independently. `radiograph` is `radiograph.changed`.
    """
    if kind == "none":
        return lambda images, _: images
    if kind == "radiograph":
        numbers = draw(count, seed=seed, epoch=epoch)
        return lambda images, places: changed(images, numbers[places])
    words = random_words(count, "flip", seed, epoch)
    coins = torch.stack([torch.from_numpy(words >> shift & 1 == 1) for shift in (62, 63)], dim=1)
    return lambda images, places: flipped(images, coins[places])


def flipped(images: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Images [B, 1, H, W] flipped along H where which[:, 0], along W where which[:, 1]."""
    for column, axis in ((0, 2), (1, 3)):
        chosen = which[:, column].to(images.device, non_blocking=True)[:, None, None, None]
        images = torch.where(chosen, images.flip(axis), images)
    return images
