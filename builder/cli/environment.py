"""Options that can also be given by an environment variable of their own name."""

import os
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

Command = Callable[..., None]

RULE = (
    "Every option can be given by an environment variable: --image-size of xbuild synth by "
    "XBUILD_SYNTH_IMAGE_SIZE, an option that repeats by values between semicolons. XBUILD_ROOT is "
    "--root of every command."
)


class Option(click.Option):
    """An option whose variable is XBUILD_, the command and its own name: XBUILD_PLAN_SEED.

    click's own variables have the names of Python's parameters, which no user knows, and part the
    values of an option that repeats at blanks, which pathologies have.
    """

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """The text of the option's own variable, or else of one that it shares with commands."""
        own = os.environ.get(self._variable(ctx))
        return own or click.Parameter.resolve_envvar_value(self, ctx)

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """What the variable says; several values stand between semicolons."""
        text = self.resolve_envvar_value(ctx)
        if text is None or not self.multiple:
            return super().value_from_envvar(ctx)
        return [value.strip() for value in text.split(";") if value.strip()]

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """The option's name for messages; that of the variable where the value came from there."""
        if ctx and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
            own = self._variable(ctx)
            return f"{own if own in os.environ else self.envvar}"
        return super().get_error_hint(ctx)

    def _variable(self, ctx: click.Context) -> str:
        words = f"xbuild {ctx.info_name} {max(self.opts, key=len).lstrip('-')}"
        return words.replace("-", "_").replace(" ", "_").upper()


def option(*names: str, **attributes: Any) -> Callable[[Command], Command]:
    """A decorator like click.option, for an option with a variable."""
    return click.option(*names, cls=Option, **attributes)
