"""Options that commands of xbuild share."""

import math
import os
from collections.abc import Callable
from decimal import Decimal, DecimalException
from functools import reduce
from pathlib import Path
from typing import Any

import click

from builder.cli.environment import Command, option
from builder.contract import MAX_SAMPLES, printable
from builder.store import is_url
from builder.store.url import without_secrets


def filled(value: str) -> str:
    """The text; an empty one, as of a variable of a script that was not set, is refused."""
    if not value.strip():
        raise click.BadParameter("the text is empty: say what is meant, or leave it out.")
    return value


class _Here(click.Path):
    """A path on this disk; a URL and an empty text are refused before they are taken for one.

    ~ is the user's home, too where no shell says so: in --out=~/x, and in a variable.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if isinstance(value, str) and is_url(value):
            shown = printable(without_secrets(value))
            self.fail(f"{shown} is a URL, and a path on this disk is needed: copy it here.", param)
        if isinstance(value, str):
            value = os.path.expanduser(filled(value))  # noqa: PTH111 - text stays what click takes
        return super().convert(value, param, ctx)


FILE = _Here(dir_okay=False, path_type=Path)
FOLDER = _Here(file_okay=False, path_type=Path)
PLACE = _Here(path_type=Path)

_MAX_SEED = 2**63 - 1
MAX_BATCH = 1024  # images per call of a generator, as the trial of auto has them


class OrUrl(click.ParamType[Path | str]):
    """A path on this disk, or a URL as text."""

    def __init__(self, path: click.Path) -> None:
        """What is no URL is taken as `path`."""
        self._path, self.name = path, f"{path.name}|url"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        """The place."""
        if isinstance(value, str) and is_url(value):
            return value
        return Path(os.fsdecode(self._path.convert(value, param, ctx)))


class Range(click.FloatRange):
    """A finite number in a range; click's own lets nan pass, and inf where there is no end."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number, or a refusal."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            finite = "" if math.isnan(number) else "finite "
            self.fail(f"{value} is not a {finite}number.", param, ctx)
        return number


def seed(value: str) -> int:
    """A seed from its text; a range of click would put nineteen digits into the help."""
    if not value.isascii() or not value.isdigit() or int(value) > _MAX_SEED:
        raise click.BadParameter(f"{value!r} is not a whole number from 0 to {_MAX_SEED}.")
    return int(value)


def number(value: str) -> str:
    """A decimal such as 0.15 in its shortest form, as text: no binary rounding gets in."""
    try:
        exact = Decimal(value).normalize()
    except DecimalException:
        exact = Decimal("nan")
    large = exact.is_finite() and exact.adjusted() > 9  # as text it may take all memory
    if not exact.is_finite() or large or int(exact.as_tuple().exponent) < -9:
        raise click.BadParameter(f"{value!r} is not a number such as 0.15.")
    return f"{exact:f}"


def balance_options(command: Command) -> Command:
    """The options that say what is balanced: of `plan` and `synth`."""
    return with_options(
        command,
        option(
            "--target",
            "targets",
            multiple=True,
            metavar="NAME",
            help="Pathology to lift; repeat for more.  [default: all below --rare-below]",
        ),
        option(
            "--share",
            type=number,
            default="0.15",
            show_default=True,
            metavar="FRACTION",
            help="Share of the training images that every target reaches.",
        ),
        option(
            "--rare-below",
            type=number,
            default="0.05",
            show_default=True,
            metavar="FRACTION",
            help="Without --target, pathologies below this share of the table are lifted.",
        ),
        option(
            "--max-per-real",
            type=click.IntRange(1, 100_000),
            default=5,
            show_default=True,
            help="Synthetic images per real one that a plan may ask for.",
        ),
        option(
            "--vectors",
            type=click.Choice(["lp", "alone"]),
            default="lp",
            show_default=True,
            help="Labels of a synthetic image: with lp those of a real image that has the target, "
            "drawn at random; with alone the target and nothing else.",
        ),
    )


def shard_options(command: Command) -> Command:
    """The options that say how shards are written: of `pack` and `synth`."""
    return with_options(
        command,
        option(
            "--out",
            type=OrUrl(FOLDER),
            default=Path(),
            show_default="the current folder",
            help="Place of manifests/ and shards/: a folder, s3://BUCKET/FOLDER, gs:// or hf://.",
        ),
        option(
            "--work",
            type=FOLDER,
            show_default="one in the cache for each URL",
            help="With a URL as --out, folder in which a shard is made before it is sent.",
        ),
        option(
            "--format",
            "codec",
            type=click.Choice(["jpg", "png"]),
            default="jpg",
            show_default=True,
            help="Image format: jpg has quality 95, png is lossless.",
        ),
        option(
            "--shard-size",
            type=click.IntRange(1, MAX_SAMPLES),
            default=4096,
            show_default=True,
            help="Images per shard.",
        ),
        option("--skip-bad", is_flag=True, help="Leave out real images that are unreadable."),
    )


def engine_options(command: Command) -> Command:
    """The options that say who makes the shards: of `pack`, `synth` and `seal`."""
    return with_options(
        command,
        option(
            "--workers",
            type=click.IntRange(1),
            show_default="one per core, or per GPU that renders",
            help="Number of processes; the bytes do not depend on it.",
        ),
        option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="What makes the shards: this machine, or those of a Ray cluster; the bytes do not "
            "depend on it.",
        ),
        option(
            "--address",
            metavar="HOST:PORT",
            help="Ray cluster to use, or auto for the one of this machine; every node needs the "
            "same folders.  [default: a new one on this machine]",
        ),
    )


def part_option(command: Command) -> Command:
    """The option that divides a build: of `pack` and `synth`."""
    return with_options(
        command,
        option(
            "--part",
            metavar="NUMBER/COUNT",
            help="Make this part of the shards alone, such as 3/16, in any order or at once with "
            "the other parts in the same --out; the part that ends last seals.",
        ),
    )


def reading_options(command: Command) -> Command:
    """The options that say how image files become pixels: of `pack` and `synth`."""
    return with_options(
        command,
        option(
            "--depth",
            type=click.IntRange(8, 16),
            help="Bits of grey that 16-bit files use, such as 12; one rule for all images.  "
            "[default: what DICOM says, otherwise the full range or a refusal]",
        ),
        option(
            "--window",
            type=click.Choice(["dicom", "full", "percentile"]),
            default="dicom",
            show_default=True,
            help="Greys of DICOM files that are shown: the file's own window, all that are stored, "
            "or all but the darkest and brightest.",
        ),
        option(
            "--upsample", is_flag=True, help="Enlarge images that are smaller than --image-size."
        ),
    )


def shards_root(command: Command) -> Command:
    """The option that says where the shards of a manifest are."""
    return with_options(
        command,
        option(
            "--shards-root",
            type=FOLDER,
            help="Folder that holds shards/.  [default: the one that holds manifests/]",
        ),
    )


def with_options(command: Command, *options: Callable[[Command], Command]) -> Command:
    """The command with the options, listed in this order by --help."""
    return reduce(lambda wrapped, option: option(wrapped), reversed(options), command)
