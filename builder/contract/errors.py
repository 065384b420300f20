"""What the user is told in one sentence, with the exit code of the command.

Refusal            what was asked is not done
├── UsageError     it cannot be done as asked; exit code 2
└── CheckError     a file on disk is not what it must be; exit code 1
Stopped            a signal ended the command after it saved: not a fault; exit code 128 + signal

No message has a sign that a terminal would act on, or a line break, whatever words it quotes.
"""

from collections.abc import Iterable

_LONGEST = 4000  # characters of a message; paths are up to 4,096 and seldom above 200


class Refusal(Exception):  # noqa: N818 - the root of the two errors below
    """What was asked is not done, for the reason that the message gives in one sentence."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        """What the message quotes is made printable."""
        super().__init__(printable(message, _LONGEST))


class UsageError(Refusal):
    """What was asked cannot be done as asked: one sentence for the user, exit code 2."""

    exit_code = 2


class CheckError(Refusal):
    """A file on disk is not what it must be: one sentence for the user, exit code 1."""


class Stopped(Exception):  # noqa: N818 - what happened, not a fault
    """A signal ended the command; the message says how far it came and how to go on."""

    def __init__(self, message: str, signal: int) -> None:
        """`signal` is its number."""
        super().__init__(printable(message, _LONGEST))
        self.exit_code = 128 + signal


def printable(text: str, length: int = 80) -> str:
    """The text as a message may show it: no control characters, at most `length` characters."""
    text = text if len(text) <= length else f"{text[:length]}…"
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def in_short(names: Iterable[object], most: int, length: int = 1000) -> str:
    """The first `most` names as `printable` has them, and how many more there are."""
    said = [*map(str, names)]
    more = f" and {len(said) - most:,} more" if len(said) > most else ""
    return printable(", ".join(said[:most]), length) + more


def printable_lines(text: str) -> str:
    """A text of many lines as a terminal may show it: no control characters but the line breaks."""
    return "\n".join(printable(line, len(line)) for line in text.split("\n"))
