"""Work on blocks of rows in threads: the same sums, to the bit, for any number of them.

BLAS splits one product between cores, and how it does so changes the last bits. Here each block is
one core's, and results are taken in the order of the blocks.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from builder.contract.cores import usable_cores

ROWS = 256  # in a block
_AHEAD = 4  # blocks in memory for each thread

Result = TypeVar("Result")


def blockwise(
    function: Callable[[slice], Result], count: int, rows: int = ROWS
) -> Iterator[Result]:
    """What `function` makes of each block of `count` rows, in order; BLAS has one thread."""
    blocks = [slice(start, min(start + rows, count)) for start in range(0, count, rows)]
    threads = min(8, usable_cores())
    with one_core():
        if len(blocks) == 1:
            yield function(blocks[0])
            return
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(blocks), _AHEAD * threads):
                yield from pool.map(function, blocks[start : start + _AHEAD * threads])


def one_core() -> AbstractContextManager[Any]:
    """A context in which BLAS uses one thread."""
    limiter: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limiter


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    """Found once, because it looks through all libraries of the process; numpy has its own."""
    return ThreadpoolController()
