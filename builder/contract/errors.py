"""What the user is told in one sentence, with the exit code of the command.

Refusal            what was asked is not done
├── UsageError     it cannot be done as asked; exit code 2
└── CheckError     a file on disk is not what it must be; exit code 1
Stopped            a signal ended the command after it saved: not a fault; exit code 128 + signal
"""


class Refusal(Exception):  # noqa: N818 - the root of the two errors below
    """What was asked is not done, for the reason that the message gives in one sentence."""

    exit_code = 1


class UsageError(Refusal):
    """What was asked cannot be done as asked: one sentence for the user, exit code 2."""

    exit_code = 2


class CheckError(Refusal):
    """A file on disk is not what it must be: one sentence for the user, exit code 1."""


class Stopped(Exception):  # noqa: N818 - what happened, not a fault
    """A signal ended the command; the message says how far it came and how to go on."""

    def __init__(self, message: str, signal: int) -> None:
        """`signal` is its number."""
        super().__init__(message)
        self.exit_code = 128 + signal


def printable(text: str, length: int = 80) -> str:
    """The text as a message may show it: no control characters, at most `length` characters."""
    text = text if len(text) <= length else f"{text[:length]}…"
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
