"""Options that commands of xbuild share."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
SEED = click.IntRange(0, 2**63 - 1)

shards_root = click.option(
    "--shards-root", type=FOLDER, help="Where shards/ lies, if not beside manifests/."
)


def number(value: str) -> str:
    """A decimal such as 0.15 as the one word for it, so that no binary rounding gets in."""
    try:
        exact = Decimal(value).normalize()
    except InvalidOperation:
        exact = Decimal("nan")
    if not exact.is_finite() or int(exact.as_tuple().exponent) < -9:
        raise click.BadParameter(f"{value!r} is not a number such as 0.15.")
    return f"{exact:f}"


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `plan` and `synth` share."""
    options = [
        click.option(
            "--dataset",
            type=click.Choice(["chexpert", "nih", "table", "demo"]),
            default="chexpert",
            show_default=True,
            help="Where labels and images come from; demo: CheXpert's labels, phantom images.",
        ),
        click.option(
            "--labels", type=FILE, help="Label table (CSV); default: torchxrayvision's copy."
        ),
        click.option("--root", type=FOLDER, help="Folder of the real images."),
        click.option(
            "--regime",
            type=number,
            default="100",
            show_default=True,
            help="Per cent of the training patients, in (0, 100].",
        ),
        click.option(
            "--target",
            "targets",
            multiple=True,
            metavar="NAME",
            help="Pathology to lift; repeat for more. Default: all below --rare-below.",
        ),
        click.option(
            "--share",
            type=number,
            default="0.15",
            show_default=True,
            help="Share that every target reaches.",
        ),
        click.option(
            "--rare-below",
            type=number,
            default="0.05",
            show_default=True,
            help="Pathologies below this share of the whole table are targets.",
        ),
        click.option(
            "--max-per-real",
            type=click.IntRange(1),
            default=5,
            show_default=True,
            help="Synthetic images per real one that a plan may ask for.",
        ),
        click.option(
            "--uncertain",
            type=click.Choice(["ones", "zeros", "mask"]),
            default="ones",
            show_default=True,
            help="What a label of -1 becomes; mask: neither, and the loss ignores it.",
        ),
        click.option(
            "--views",
            type=click.Choice(["all", "frontal"]),
            default="all",
            show_default=True,
            help="Which views of the table to use.",
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
            type=SEED,
            default=0,
            show_default=True,
            help="Of split, draws and latents.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command
