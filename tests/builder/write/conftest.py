"""A shard of twelve pictures."""

from collections.abc import Callable

import numpy as np
import pytest

from builder.contract import Bytes, Sample
from builder.recipe import Layout
from builder.write import Painter, ShardJob


@pytest.fixture(scope="session")
def images() -> Bytes:
    return np.random.default_rng(0).integers(0, 255, (12, 16, 16), dtype=np.uint8)


@pytest.fixture
def job(
    layout: Layout,
    images: Bytes,
    real: Callable[..., Sample],
    painter_of: Callable[..., Painter],
) -> ShardJob:
    """A shard of real images."""
    return ShardJob(
        layout=layout,
        url="shards/real/train-00000-of-00001.tar",
        samples=tuple(real(i) for i in range(len(images))),
        painter=painter_of(images),
    )
