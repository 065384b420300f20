"""The command line of xbuild → calls of the pipeline.

`building`, `auditing`, `viewing`, `sharing`, `rebuilding` and `gans` hold the commands, `options`,
`real_options` and `synth_options` what several of them take, `environment` gives every option its
variable, `engines` starts what makes shards, and `plan_text` and `next_step` are what is printed.
Nothing heavy is imported before a command runs.
"""

import sys

import click

from builder.cli.auditing import audit
from builder.cli.building import pack, plan, seal, synth, verify
from builder.cli.datasets import datasets
from builder.cli.environment import RULE
from builder.cli.gans import fit_gan, import_gan
from builder.cli.rebuilding import merge, rebuild
from builder.cli.sharing import diff, info, pull, share
from builder.cli.terminal import echo, show
from builder.cli.viewing import preview, view
from builder.contract import Refusal


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=RULE)
@click.version_option(package_name="cxr-rebalance", prog_name="xbuild")
def cli() -> None:
    """Build a balanced chest X-ray dataset: offline, once, reproducibly.

    xbuild renders the fewest synthetic images that lift every rare pathology to its share. It seals
    them with the real images as WebDataset shards, a parquet index and one manifest.
    """


commands = (
    plan,
    pack,
    synth,
    seal,
    verify,
    audit,
    view,
    preview,
    info,
    diff,
    share,
    pull,
    rebuild,
    merge,
    datasets,
    import_gan,
    fit_gan,
)
for command in commands:
    cli.add_command(command)


def main() -> None:
    """Run xbuild; every failure that the user can mend is one sentence and an exit code."""
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        show(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        echo("Interrupted: run the same command to resume.", err=True)
        sys.exit(130)
    except Refusal as error:
        echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except MemoryError:
        todo = "take a smaller --batch, fewer --workers or a larger machine"
        echo(f"Error: There is not enough memory: {todo}; what is complete is kept.", err=True)
        sys.exit(1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        echo(f"Error: {error.strerror or error}{where}; what is complete is kept.", err=True)
        sys.exit(1)
