"""xtrain: options into arguments. Nothing heavy is imported before a command runs."""

import copy
from typing import Any

import click

from builder.contract import Refusal, Stopped
from trainer.cli.applying import cam, predict
from trainer.cli.comparing import experiment, report
from trainer.cli.fitting import evaluate, fit, sweep
from trainer.cli.terminal import echo

INTERRUPTED = 130  # what shells report for Ctrl-C
HOW_TO_RESUME = {
    "fit": " Resume it with --resume.",
    "sweep": " Repeat the command to resume.",
    "experiment": " Repeat the command to resume.",
    "paper": " Repeat the command to resume.",
}


class Line(click.Group):
    """`xtrain --shards …` is `xtrain fit --shards …`; refusals are one sentence, never a trace."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, with `fit` put in front where an option of it comes first."""
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help", "--version"):
            args = ["fit", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """The command's result, or a sentence on stderr and its exit code."""
        try:
            return super().invoke(ctx)
        except Stopped as stopped:
            message, code = str(stopped), stopped.exit_code
        except Refusal as error:
            message, code = f"Error: {error}", error.exit_code
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            message, code = f"Error: {error.strerror or error}{where}.", 1
        except KeyboardInterrupt:
            message = f"Stopped.{HOW_TO_RESUME.get(ctx.invoked_subcommand or '', '')}"
            code = INTERRUPTED
        echo(message, err=True)
        raise click.exceptions.Exit(code)


@click.group(cls=Line, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cxr-rebalance")
def main() -> None:
    """Train a classifier on a sealed dataset and report its AUC per pathology.

    `xtrain --shards MANIFEST` is short for `xtrain fit --shards MANIFEST`.
    """


for command in (fit, sweep, evaluate, predict, cam, report, experiment):
    main.add_command(command)
paper = copy.copy(experiment)  # its name until version 0.1
paper.hidden = True
main.add_command(paper, "paper")
