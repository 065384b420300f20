import io

import pytest
from rich.console import Console

from trainer import progress as module
from trainer.progress import progress, say


def bar(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, waits: bool = False) -> str:
    """What is drawn within five seconds."""
    text, now = io.StringIO(), [0.0]
    console = Console(file=text, force_terminal=terminal, width=120)
    monkeypatch.setattr(module, "Console", lambda **_: console)
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress("epoch 1/3", 100, waits=waits) as advance:
        for _ in range(5):
            now[0] += 1.0
            advance(10, 0.25)
    return text.getvalue()


def test_nothing_is_drawn_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bar(monkeypatch, terminal=False) == ""


def test_rate_and_waiting_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = bar(monkeypatch, terminal=True, waits=True)
    assert "epoch 1/3" in drawn
    assert "50/100" in drawn
    assert "10 images/s" in drawn
    assert "waiting for data 25.0%" in drawn
    assert "waiting" not in bar(monkeypatch, terminal=True)


def test_only_the_first_rank_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert bar(monkeypatch, terminal=True) == ""


def test_a_line_is_said_whole_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    say("a \x1b[2J run" + " that is long" * 99)
    said = capsys.readouterr()
    assert said.err == "a \ufffd[2J run" + " that is long" * 99 + "\n"
    assert said.out == ""
