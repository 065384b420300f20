import pickle
import signal

import pytest

from builder.contract import CheckError, Refusal, Stopped, UsageError, in_short, printable
from builder.contract.errors import printable_lines


def test_the_tree_has_one_root_and_a_signal_is_no_refusal() -> None:
    assert issubclass(UsageError, Refusal)
    assert issubclass(CheckError, Refusal)
    assert not issubclass(CheckError, UsageError)
    assert not issubclass(Stopped, Refusal)
    assert (UsageError.exit_code, CheckError.exit_code) == (2, 1)


def test_a_signal_has_the_exit_code_that_shells_report() -> None:
    stopped = Stopped("Stopped after 3 images.", signal.SIGTERM)
    assert (str(stopped), stopped.exit_code) == ("Stopped after 3 images.", 143)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("épaississement", "épaississement"),
        ("a\x1b[0m\nb", "a�[0m�b"),
        ("\u202eevil", "�evil"),
        ("x" * 100, "x" * 80 + "…"),
    ],
)
def test_strangers_words_are_short_and_plain(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("kind", [Refusal, UsageError, CheckError])
def test_no_message_acts_on_a_terminal_or_fills_it(kind: type[Refusal]) -> None:
    said = kind("a\x1b]0;title\x07 b\r\nError: c \udcff \u202e " + "x" * 3_000_000)
    assert str(said).isprintable()
    assert len(str(said)) < 5000
    assert str(pickle.loads(pickle.dumps(said))) == str(said)


def test_a_text_of_many_lines_keeps_its_line_breaks_alone() -> None:
    assert printable_lines("a\x1b[2J\n\n\tb\r\n") == "a�[2J\n\n�b�\n"


def test_a_long_list_is_counted_from_some_name_on() -> None:
    assert in_short("abcde", 3) == "a, b, c and 2 more"
    assert in_short([1, 2, 3], 3) == "1, 2, 3"
    assert in_short(("a" * 9, "b\n"), 1, 4) == "aaaa… and 1 more"
