import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.contract import Stopped
from trainer.experiment import processes
from trainer.experiment.processes import run_processes

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """The signals as a terminal's process has them: tests in the background may ignore some."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run(tmp_path: Path) -> Callable[[int], list[str]]:
    """The function that runs so many processes and says what went wrong in each."""

    def start(count: int, **options: Any) -> list[str]:
        logs = [tmp_path / f"{number}.log" for number in range(count)]
        return run_processes([print] * count, logs, threads=1, **options)

    return start


def test_each_process_answers_for_itself(
    run: Callable[[int], list[str]], child: Callable[[str], None], tmp_path: Path
) -> None:
    child("print('first'); print('last')")
    assert run(2) == ["", ""]
    assert (tmp_path / "0.log").read_text() == "first\nlast\n"
    child("print('first'); print('last'); raise SystemExit(1)")
    assert run(2) == ["last", "last"]
    child("raise SystemExit(3)")
    assert run(1) == ["last"]  # of its log, which keeps what was said before


def test_poll_is_called_while_they_run(
    run: Callable[..., list[str]], child: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[None] = []
    monkeypatch.setattr(processes, "POLL_SECONDS", 0.01)
    child("import time; time.sleep(0.5)")
    assert run(1, poll=lambda: calls.append(None)) == [""]
    assert len(calls) > 1


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_all_processes(
    run: Callable[[int], list[str]],
    child: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    child(SLEEP)
    monkeypatch.setattr(processes.time, "sleep", lambda _: signal.raise_signal(number))
    began, before = time.monotonic(), signal.getsignal(number)
    with pytest.raises(Stopped, match="all processes") as found:
        run(2)
    assert found.value.exit_code == 128 + number
    assert time.monotonic() - began < 30
    assert signal.getsignal(number) == before


@pytest.mark.usefixtures("usual_signals")
def test_a_second_signal_acts_as_usual(
    run: Callable[[int], list[str]], child: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(_: float) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    child(SLEEP)
    monkeypatch.setattr(processes.time, "sleep", twice)
    with pytest.raises(KeyboardInterrupt):
        run(1)


def test_a_real_process_does_its_task(tmp_path: Path) -> None:
    logs = [tmp_path / "0.log", tmp_path / "1.log"]
    target = tmp_path / "done"
    tasks: list[Callable[[], object]] = [target.touch, (tmp_path / "absent").unlink]
    assert run_processes(tasks, logs, threads=1)[0] == ""
    assert target.exists()
    assert "No such file" in logs[1].read_text()
    assert "trainer.experiment.child" not in sys.modules
