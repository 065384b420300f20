import threading
import time
from concurrent.futures import CancelledError

import pytest

from builder.render.threads import threads


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_belong_to_their_tasks(count: int) -> None:
    with threads(count) as submit:
        results = [submit(lambda i=i: i * i) for i in range(50)]
        assert [get() for get in results] == [i * i for i in range(50)]


@pytest.mark.parametrize("count", [0, 2])
def test_what_a_task_raises_comes_where_its_result_is_asked_for(count: int) -> None:
    def fail() -> None:
        raise ValueError("a bug")

    with threads(count) as submit:
        get = submit(fail)
        with pytest.raises(ValueError, match="a bug"):
            get()


def test_tasks_run_elsewhere_and_without_threads_here() -> None:
    for count, here in ((0, True), (1, False)):
        with threads(count) as submit:
            assert (submit(threading.get_ident)() == threading.get_ident()) == here


def test_what_nobody_waits_for_is_given_up() -> None:
    done: list[int] = []
    with threads(1) as submit:
        submit(lambda: time.sleep(0.05))
        late = submit(lambda: done.append(1))
    with pytest.raises(CancelledError):
        late()
    assert not done
