import gc

import numpy as np
import torch

from trainer.stream.buffers import Buffers


def buffers(keep: int = 2) -> Buffers:
    return Buffers(4, 3, 5, keep=keep, pin=False)


def test_the_arrays_are_the_memory_of_the_tensor() -> None:
    images, pixels = buffers().borrow(3)
    assert images.shape == (3, 1, 3, 5)
    assert images.dtype == torch.uint8
    for number in range(3):
        pixels[number][:] = number
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_memory_is_lent_again_only_when_all_that_shares_it_is_gone() -> None:
    pool = buffers()
    images, _ = pool.borrow(4)
    place, part, array = images.data_ptr(), images[1:2], images.numpy()[0]
    for held in ("images", "part", "array"):
        assert pool.borrow(4)[0].data_ptr() != place, held
        if held == "images":
            del images
        elif held == "part":
            del part
    del array
    gc.collect()
    places = set()
    kept = []
    for _ in range(3):
        kept.append(pool.borrow(2)[0])
        places.add(kept[-1].data_ptr())
    assert place in places
    assert len(places) == 3


def test_no_more_blocks_wait_than_are_kept() -> None:
    pool = buffers(keep=2)
    lent = [pool.borrow(1) for _ in range(5)]
    del lent
    assert len(pool._free) == 2


def test_a_tensor_outlives_its_pool() -> None:
    pool = buffers()
    images, pixels = pool.borrow(4)
    for array in pixels:
        array[:] = 7
    del pool, pixels, array
    gc.collect()
    assert np.array_equal(images, np.full((4, 1, 3, 5), 7))
