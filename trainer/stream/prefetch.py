"""Results that threads make before they are needed, in order."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Piece = TypeVar("Piece")
Made = TypeVar("Made")


def prefetch(
    make: Callable[[Piece], Made],
    pieces: Iterable[Piece],
    *,
    workers: int,
    begin: Callable[[Piece], None] = lambda _: None,
) -> Generator[tuple[Made, float], None, None]:
    """(make(piece), seconds that the caller waited for it) of each piece, in order.

    `workers` threads make at most `workers` + 2 results ahead; `begin` is called in this thread
    when a piece is handed to them. Closing the iterator ends the threads.
    """
    todo = iter(pieces)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    ahead: deque[Future[Made]] = deque()

    def submit(count: int) -> None:
        for piece in islice(todo, count):
            begin(piece)
            ahead.append(pool.submit(make, piece))

    try:
        submit(workers + 2)
        while ahead:
            asked = time.perf_counter()
            made = ahead.popleft().result()
            waited = time.perf_counter() - asked
            submit(1)
            yield made, waited
    finally:
        pool.shutdown(cancel_futures=True)
