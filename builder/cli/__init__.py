"""xbuild: words into arguments. Nothing heavy is imported before a command runs."""

import sys

import click

from builder.cli.building import plan, synth, verify
from builder.cli.gans import fit_gan, import_gan
from builder.contract import Refusal


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cxr-rebalance", prog_name="xbuild")
def cli() -> None:
    """Build a balanced chest X-ray dataset: offline, once, reproducibly.

    The fewest synthetic images that lift every rare pathology to its share, sealed with the real
    ones as WebDataset shards, a parquet index and one manifest.
    """


for command in (plan, synth, verify, import_gan, fit_gan):
    cli.add_command(command)


def main() -> None:
    """Run xbuild; every failure the user can mend is one sentence and an exit code."""
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; run the same command to go on.", err=True)
        sys.exit(130)
    except Refusal as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        click.echo(f"Error: {error.strerror or error}{where}; nothing complete is lost.", err=True)
        sys.exit(1)
