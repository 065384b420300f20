"""The two refusals, each one sentence for the user."""


class UsageError(Exception):
    """What was asked cannot be done as asked: one sentence for the user, exit code 2."""

    exit_code = 2


class CheckError(UsageError):
    """Something on disk is not what it must be: one sentence for the user, exit code 1."""

    exit_code = 1
