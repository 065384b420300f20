import os
import signal
from collections.abc import Iterator

import pytest

from builder.contract import Refusal, Stopped
from trainer.fit.control import Control, Wish, stopped
from trainer.fit.devices import connect


@pytest.fixture
def control() -> Iterator[Control]:
    with connect("cpu", "fp32") as fabric:
        yield Control(fabric, 3600)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish_and_the_second_acts(control: Control, number: int) -> None:
    acted = []
    before = signal.signal(number, lambda *_: acted.append(number))
    try:
        with pytest.raises(Stopped, match="at the end") as found, control.listening():  # noqa: PT012
            assert control.wish() is Wish.GO_ON
            os.kill(os.getpid(), number)
            assert control.wish() is Wish.STOP
            assert (control.signal, acted) == (number, [])
            os.kill(os.getpid(), number)
            assert acted == [number]
        assert found.value.exit_code == 128 + number
    finally:
        signal.signal(number, before)


def test_ranks_get_signals_twice_and_obey_only_the_first(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    acted, now = list[str](), [0.0]
    monkeypatch.setattr("trainer.fit.control.time.monotonic", lambda: now[0])
    control._patience = 10.0
    before = signal.signal(signal.SIGTERM, lambda *_: acted.append("ended"))
    try:
        with pytest.raises(Stopped), control.listening():  # noqa: PT012
            for now[0] in (0.0, 0.2, 9.0):
                os.kill(os.getpid(), signal.SIGTERM)
            assert (control.wish(), acted) == (Wish.STOP, [])
            now[0] = 11.0
            os.kill(os.getpid(), signal.SIGTERM)
            assert acted == ["ended"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_waiting_ends_with_a_signal(control: Control) -> None:
    control.sleep(0)
    control.signal = 2
    with pytest.raises(Stopped, match="while waiting"):
        control.sleep(0)


def test_the_clock_wishes_to_save_once_an_interval(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("trainer.fit.control.time.monotonic", lambda: now[0])
    control.saved()
    for seconds, wish in ((3599, Wish.GO_ON), (3600, Wish.SAVE)):
        now[0] = 100.0 + seconds
        assert control.wish() is wish
    control.saved()
    assert control.wish() is Wish.GO_ON


def test_stopped_has_the_exit_code_that_shells_report() -> None:
    assert stopped("here", 15).exit_code == 143
    assert "here, and saved" in str(stopped("here", 15))
    assert "--resume" in str(stopped("here", 15))


def test_no_handler_of_refusals_catches_a_signal() -> None:
    assert not isinstance(stopped("here", 15), Refusal)
