import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, as_completed
from typing import Any

import pytest

from builder.store import threads
from builder.store.threads import Threads


def test_results_come_in_order_and_errors_where_they_are_asked_for() -> None:
    with Threads(3) as pool:
        assert list(pool.map(divmod, range(50), [7] * 50)) == [divmod(i, 7) for i in range(50)]
        future = pool.submit(divmod, 1, 0)
    with pytest.raises(ZeroDivisionError):
        future.result()


def test_there_are_no_more_threads_than_asked_for_and_they_work_at_once() -> None:
    meeting = threading.Barrier(3)
    seen: set[str] = set()

    def note(_: int) -> None:
        meeting.wait(5)
        seen.add(threading.current_thread().name)

    with Threads(3) as pool:
        list(pool.map(note, range(9)))
    assert len(seen) == 3


def test_a_task_that_hangs_is_left_alone_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "GRACE", 0.05)
    gate = threading.Event()
    pool, waiting = Threads(1), []

    def fail() -> None:
        with pool:
            waiting.extend([pool.submit(gate.wait, 30), pool.submit(gate.wait, 30)])
            raise ValueError("no")

    start = time.monotonic()
    with pytest.raises(ValueError, match="no"):
        fail()
    assert time.monotonic() - start < 5
    with pytest.raises(CancelledError):
        waiting[1].result()
    with pytest.raises(RuntimeError, match="were ended"):
        pool.submit(gate.wait)
    gate.set()
    assert [each.result(5) for each in as_completed(waiting[:1])] == [True]


def test_a_task_that_is_nearly_done_may_end() -> None:
    pool = Threads(1)
    future: Any = pool.submit(time.sleep, 0.05)
    pool.stop()
    assert future.done()


def test_a_process_does_not_wait_for_a_task_that_hangs() -> None:
    code = (
        "import time; from builder.store.threads import Threads; Threads(1).submit(time.sleep, 60)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
