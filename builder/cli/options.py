"""Options that commands of xbuild share."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import reduce
from pathlib import Path

import click

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

Command = Callable[..., None]

_MAX_SEED = 2**63 - 1


def seed(value: str) -> int:
    """A seed from its text; a range of click would put nineteen digits into the help."""
    if not value.isascii() or not value.isdigit() or int(value) > _MAX_SEED:
        raise click.BadParameter(f"{value!r} is not a whole number from 0 to {_MAX_SEED}.")
    return int(value)


def number(value: str) -> str:
    """A decimal such as 0.15 in its shortest form, as text: no binary rounding gets in."""
    try:
        exact = Decimal(value).normalize()
    except InvalidOperation:
        exact = Decimal("nan")
    if not exact.is_finite() or int(exact.as_tuple().exponent) < -9:
        raise click.BadParameter(f"{value!r} is not a number such as 0.15.")
    return f"{exact:f}"


def real_options(command: Command) -> Command:
    """The options that say which real images are used: of `plan`, `pack` and `synth`."""
    return _label_options(_split_options(command))


def _label_options(command: Command) -> Command:
    return _with(
        command,
        click.option(
            "--dataset",
            type=click.Choice(["chexpert", "nih", "table", "demo"]),
            default="chexpert",
            show_default=True,
            help="Source of labels and images; demo has CheXpert's labels and phantom images.",
        ),
        click.option(
            "--labels",
            type=FILE,
            help="Label table, a CSV file.  [default: the copy in torchxrayvision]",
        ),
        click.option(
            "--root",
            type=FOLDER,
            help="Folder of the real images; for --dataset table, by default that of the CSV.",
        ),
        click.option(
            "--uncertain",
            type=click.Choice(["ones", "zeros", "mask"]),
            default="ones",
            show_default=True,
            help="What an uncertain label (-1) becomes: 1, 0, or masked, so that losses ignore it.",
        ),
        click.option(
            "--views",
            type=click.Choice(["all", "frontal"]),
            default="all",
            show_default=True,
            help="Views of the table to use.",
        ),
    )


def _split_options(command: Command) -> Command:
    return _with(
        command,
        click.option(
            "--regime",
            type=number,
            default="100",
            show_default=True,
            metavar="PERCENT",
            help="Percentage of the training patients to use, in (0, 100].",
        ),
        click.option(
            "--holdout",
            type=number,
            nargs=2,
            default=("0.05", "0.05"),
            show_default=True,
            metavar="VAL TEST",
            help="Fractions of the patients for val and test.",
        ),
        click.option(
            "--seed",
            type=seed,
            default="0",
            show_default=True,
            metavar="NUMBER",
            help="Seed of the split, the draws and the latents.",
        ),
    )


def balance_options(command: Command) -> Command:
    """The options that say what is balanced: of `plan` and `synth`."""
    return _with(
        command,
        click.option(
            "--target",
            "targets",
            multiple=True,
            metavar="NAME",
            help="Pathology to lift; repeat for more.  [default: all below --rare-below]",
        ),
        click.option(
            "--share",
            type=number,
            default="0.15",
            show_default=True,
            metavar="FRACTION",
            help="Share of the training images that every target reaches.",
        ),
        click.option(
            "--rare-below",
            type=number,
            default="0.05",
            show_default=True,
            metavar="FRACTION",
            help="Without --target, pathologies below this share of the table are lifted.",
        ),
        click.option(
            "--max-per-real",
            type=click.IntRange(1),
            default=5,
            show_default=True,
            help="Synthetic images per real one that a plan may ask for.",
        ),
    )


def shard_options(command: Command) -> Command:
    """The options that say how shards are written: of `pack` and `synth`."""
    return _with(
        command,
        click.option(
            "--out",
            type=FOLDER,
            default=Path(),
            show_default="the current folder",
            help="Folder for manifests/ and shards/.",
        ),
        click.option(
            "--format",
            "codec",
            type=click.Choice(["jpg", "png"]),
            default="jpg",
            show_default=True,
            help="Image format: jpg has quality 95, png is lossless.",
        ),
        click.option(
            "--shard-size",
            type=click.IntRange(1),
            default=4096,
            show_default=True,
            help="Images per shard.",
        ),
        click.option("--skip-bad", is_flag=True, help="Leave out real images that are unreadable."),
        click.option(
            "--workers",
            type=click.IntRange(1),
            show_default="one per core, or per GPU that renders",
            help="Number of processes; the bytes do not depend on it.",
        ),
    )


def shards_root(command: Command) -> Command:
    """The option that says where the shards of a manifest are."""
    return _with(
        command,
        click.option(
            "--shards-root",
            type=FOLDER,
            help="Folder that holds shards/.  [default: the one that holds manifests/]",
        ),
    )


def _with(command: Command, *options: Callable[[Command], Command]) -> Command:
    """The command with the options, listed in this order by --help."""
    return reduce(lambda wrapped, option: option(wrapped), reversed(options), command)
