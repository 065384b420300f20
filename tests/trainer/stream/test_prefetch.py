import threading
import time
from contextlib import closing

import pytest

from trainer.stream.prefetch import prefetch


def test_results_come_in_order_whoever_is_first() -> None:
    def slow_first(piece: int) -> int:
        time.sleep(0.05 if piece == 0 else 0)
        return 10 * piece

    with closing(prefetch(slow_first, range(8), workers=3)) as made:
        assert [value for value, _ in made] == [10 * piece for piece in range(8)]


def test_no_more_than_two_results_beyond_the_threads_are_made_ahead() -> None:
    begun: list[int] = []
    with closing(prefetch(lambda piece: piece, range(100), workers=2, begin=begun.append)) as made:
        next(made)
        assert begun == [0, 1, 2, 3, 4]


def test_the_wait_is_the_callers() -> None:
    def nap(_: int) -> None:
        time.sleep(0.1)

    with closing(prefetch(nap, range(2), workers=1)) as made:
        waits = [waited for _, waited in made]
    assert waits[0] >= 0.09


def test_a_failure_is_raised_in_its_place_and_threads_end() -> None:
    def fail(piece: int) -> int:
        if piece == 2:
            raise ValueError("two")
        return piece

    made = prefetch(fail, range(50), workers=2)
    assert [next(made)[0], next(made)[0]] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(made)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
