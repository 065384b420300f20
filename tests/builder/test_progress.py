import pytest

from builder.progress import progress


def test_without_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("packing", 10) as advance:
        advance(4)
        advance(6)
    shown = capsys.readouterr()
    assert shown.out == shown.err == ""


def test_a_terminal_gets_title_count_and_rate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    with progress("packing", 10) as advance:
        for _ in range(10):
            advance(1)
    shown = capsys.readouterr().err
    assert "packing" in shown
    assert "10/10" in shown
    assert "images/s" in shown


def test_the_rate_is_in_the_unit_of_what_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress("sending", 10, "MiB") as advance:
        for _ in range(10):
            advance(1)
    assert "MiB/s" in capsys.readouterr().err
