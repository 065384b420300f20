import os
import signal
import time
from typing import Any

import pytest

from trainer.control import Control, Stopped, Wish
from trainer.devices import connect


@pytest.fixture
def control() -> Any:
    with connect("cpu", "fp32") as fabric:
        yield Control(fabric, 3600)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish_and_the_second_acts(control: Control, number: int):
    before = signal.getsignal(number)
    with control.listening():
        assert control.wish() is Wish.GO_ON
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert control.wish() is Wish.STOP
        assert control.signal == number
        assert signal.getsignal(number) == before
    assert signal.getsignal(number) == before


def test_the_clock_wishes_to_save_once_an_interval(control: Control, monkeypatch: Any):
    now = [100.0]
    monkeypatch.setattr("trainer.control.time.monotonic", lambda: now[0])
    control.saved()
    for seconds, wish in ((3599, Wish.GO_ON), (3600, Wish.SAVE)):
        now[0] = 100.0 + seconds
        assert control.wish() is wish
    control.saved()
    assert control.wish() is Wish.GO_ON


def test_stopped_has_the_exit_code_that_shells_report():
    assert Stopped("here", 15).exit_code == 143
    assert "--resume" in str(Stopped("here", 15))
