"""Random label matrices."""

from collections.abc import Callable

import numpy as np
import pytest

from builder.contract import Labels


@pytest.fixture(scope="session")
def random_labels() -> Callable[..., Labels]:
    """Columns with given prevalences; with probability `together`, one copies its neighbour."""

    def make(rows: int, prevalence: list[float], seed: int, together: float = 0.0) -> Labels:
        random = np.random.default_rng(seed)
        labels = (random.random((rows, len(prevalence))) < prevalence).astype(np.int8)
        copy = random.random(rows) < together
        labels[copy, 1] = labels[copy, 0]
        return labels

    return make
