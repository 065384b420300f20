import os

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from builder.audit.blockwise import blockwise


def test_blocks_come_in_order_and_cover_all_rows() -> None:
    found = [*blockwise(lambda rows: (rows.start, rows.stop), 10, rows=4)]
    assert found == [(0, 4), (4, 8), (8, 10)]
    assert [*blockwise(lambda rows: rows, 0)] == []


def test_sums_are_the_same_for_any_number_of_cores_and_of_threads_of_blas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = np.random.default_rng(0).normal(size=(1000, 300))

    def products() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return sum(blockwise(lambda rows: x[rows].T @ x[rows], len(x)), np.zeros((300, 300)))

    expected = products()
    assert np.allclose(expected, x.T @ x)
    for cores in (1, 3):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: {*range(cores)})
        with threadpool_limits(cores, user_api="blas"):
            assert np.array_equal(products(), expected)
