"""What the commands print: whatever words of strangers are in it, a terminal shows and obeys none.

No other module of the command line prints.
"""

import io

import click

from builder.contract import printable
from builder.contract.errors import printable_lines


def echo(text: str, *, err: bool = False) -> None:
    """Print a text of many lines, or to stderr one sentence in one line."""
    click.echo(printable(text, len(text)) if err else printable_lines(text), err=err)


def show(error: click.ClickException) -> None:
    """Print what click says of options and arguments, which may be names of files of strangers."""
    text = io.StringIO()
    error.show(text)
    click.echo(printable_lines(text.getvalue()), err=True, nl=False)
