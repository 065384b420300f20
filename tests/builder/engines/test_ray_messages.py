"""What other threads print does not get among what a command prints."""

import sys
import threading

import click
import pytest

from builder.engines.ray_messages import others_on_stderr


def print_elsewhere(text: str) -> None:
    thread = threading.Thread(target=print, args=(text,), kwargs={"flush": True})
    thread.start()
    thread.join()


def test_stdout_is_for_the_thread_that_has_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    with others_on_stderr():
        print_elsewhere("A worker died.")
        print("Sealed.")
        click.echo("Also sealed: ä.")
        assert sys.stdout.encoding == before.encoding
    assert sys.stdout is before
    said = capsys.readouterr()
    assert said.out == "Sealed.\nAlso sealed: ä.\n"
    assert said.err == "A worker died.\n"
