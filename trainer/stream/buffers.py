"""Memory for the pixels of batches, used again once nobody holds what was in it.

Fresh memory costs a page fault for every 4 KB of it, and the caches know nothing of it.
"""

import weakref

import numpy as np
import torch

from builder.contract import Bytes


class Buffers:
    """Blocks of equal size. Any number of threads may borrow."""

    def __init__(self, images: int, height: int, width: int, *, keep: int, pin: bool) -> None:
        """Each block holds so many images; at most `keep` blocks wait for their next use.

        With `pin` the memory is page-locked, and torch itself uses it again: not before the copy to
        the device is done.
        """
        self._shape = (images, height, width)
        self._keep, self._pin = keep, pin
        self._free: list[_Block] = []

    def borrow(self, count: int) -> tuple[torch.Tensor, list[Bytes]]:
        """uint8 [count, 1, H, W] of any content, and its memory as arrays [H, W], perhaps more.

        The memory is another borrower's when the tensor is gone, with all that shares its storage.
        The arrays do not keep it.
        """
        if self._pin:
            shape = (count, 1, *self._shape[1:])
            images = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
            return images, list(images[:, 0].numpy())
        try:
            block = self._free.pop()
        except IndexError:
            block = _Block(self._shape)
        # Torch holds this array, and no other, for as long as the storage lives.
        lent = block.pixels[:count, None]
        weakref.finalize(lent, self._give_back, block).atexit = False
        return torch.from_numpy(lent), block.images

    def _give_back(self, block: "_Block") -> None:
        if len(self._free) < self._keep:
            self._free.append(block)


class _Block:
    """The memory of one batch, and of each image in it."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.pixels: Bytes = np.empty(shape, np.uint8)
        self.images = list(self.pixels)
