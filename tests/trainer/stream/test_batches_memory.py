"""The memory of batches: what is kept, what is used again, and that it does not grow."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer.stream import batches as module
from trainer.stream.batches import Dataset, batches, open_dataset
from trainer.stream.order import Rows


def stream(data: Dataset, rows: Any, *, size: int = 16) -> list[Any]:
    return list(batches(data, rows, size=size, workers=2, what="test"))


def shuffled(data: Dataset) -> Rows:
    return np.random.default_rng(0).permutation(data.rows("train"))


def test_images_in_memory_are_the_same_and_are_not_decoded_again(
    sealed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    read = module._Loader._read

    def counted(loader: Any, number: int, members: Any, pixels: Any) -> dict[int, str]:
        decoded.extend(row for (*_, row), _ in members)
        return read(loader, number, members, pixels)

    monkeypatch.setattr(module._Loader, "_read", counted)
    room = 50 * 32 * 32 + 100
    with open_dataset(sealed.located(), workers=2, ram_bytes=room) as data:
        rows = shuffled(data)
        first, second = stream(data, rows), None
        assert sorted(decoded) == sorted(rows.tolist())
        decoded.clear()
        second = stream(data, rows)
        assert len(decoded) == len(rows) - 50  # the bound holds
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, second, strict=True))


def test_what_somebody_keeps_of_a_batch_is_never_written_again(data: Dataset) -> None:
    """Whole batches, parts of them, and what shares their memory by numpy or DLPack."""
    rows = np.tile(shuffled(data), 6)
    every = [batch.images.clone() for batch in stream(data, rows)]
    keep = [
        lambda images: images,
        lambda images: images[3, 0],
        lambda images: images.numpy()[2],
        lambda images: images.numpy()[1:, 0].T,
        lambda images: torch.from_dlpack(images)[-1:],
        lambda images: images.view(-1)[5:],
        lambda _: None,
    ]
    with closing(batches(data, rows, size=16, workers=2, what=None)) as going:
        kept = [keep[number % 7](batch.images) for number, batch in enumerate(going)]
    for number, found in enumerate(kept):
        whole = keep[number % 7](every[number])
        assert found is whole is None or np.array_equal(np.asarray(found), np.asarray(whole))


def test_the_memory_of_a_batch_that_nobody_keeps_is_used_again(data: Dataset) -> None:
    where = set()
    with closing(batches(data, shuffled(data), size=4, workers=1, what=None)) as going:
        for count, batch in enumerate(going, 1):  # noqa: B007
            where.add(batch.images.data_ptr())
    assert len(where) <= 5 < count


def test_memory_is_flat_over_ten_epochs(sealed: Any) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    with open_dataset(sealed.located(), workers=2) as data:
        seen = []
        for _ in range(30):
            for _ in range(4):
                stream(data, shuffled(data), size=8)
            seen.append(resident())
    assert max(seen[10:]) - min(seen[10:]) < 8 << 20
