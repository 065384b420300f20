"""The options that say which dataset is built and sealed: of `synth` and `seal`."""

import click

from builder.cli.environment import Command, option
from builder.cli.options import (
    MAX_BATCH,
    balance_options,
    filled,
    reading_options,
    shard_options,
    with_options,
)
from builder.cli.real_options import real_options
from builder.contract import printable


def _batch(value: str) -> int | str:
    """A number of images, or auto."""
    if value == "auto":
        return value
    digits = value.isascii() and value.isdigit() and len(value) < 10
    if not (digits and 0 < int(value) <= MAX_BATCH):
        raise click.BadParameter(
            f"{printable(value)!r} is neither a whole number from 1 to {MAX_BATCH} nor auto."
        )
    return int(value)


def synth_options(command: Command) -> Command:
    """All that the bytes of a balanced dataset depend on, and where it is written."""
    own = with_options(
        _generator_options(_half_options(reading_options(shard_options(command)))),
        option("--name", help="Name of the dataset.  [default: gan and the regime]"),
    )
    return real_options(balance_options(own))


def _generator_options(command: Command) -> Command:
    return with_options(
        command,
        option(
            "--generator",
            type=filled,
            metavar="NAME|FILE",
            help="Generator of the images: NAME or NAME:ARGUMENT of an installed one, or a "
            ".safetensors file.  [default: nih128 for --dataset nih, otherwise phantom]",
        ),
        option(
            "--generator-option",
            "options",
            multiple=True,
            metavar="NAME=VALUE",
            help="Option that the generator takes; repeat for more.",
        ),
        option(
            "--label-map",
            multiple=True,
            metavar="PATHOLOGY=LABEL",
            help="Show a pathology that the generator lacks as another of its labels: "
            "'Lung Lesion=Mass'; repeat for more.",
        ),
        option(
            "--precision",
            type=click.Choice(["fp32", "tf32", "bf16"]),
            default="fp32",
            show_default=True,
            help="Precision in which the generator computes; tf32 is fp32 on a CPU.",
        ),
        option(
            "--batch",
            type=_batch,
            metavar="NUMBER",
            show_default="64, or 128 on a GPU",
            help="Images per call of the generator, or auto: the fastest by trial on a GPU, where "
            "pixels depend on it.",
        ),
        option(
            "--check",
            "checks",
            multiple=True,
            metavar="NAME[:ARGUMENT]",
            help="Check that rendered images must pass, or they are drawn again: duplicate, copy, "
            "classifier:FILE, or your own; repeat for more.  [always: constant]",
        ),
        option("--keep-rejects", is_flag=True, help="Keep rejected images in NAME-rejected/."),
    )


def _half_options(command: Command) -> Command:
    """The size of all images, and whether the real ones are among them."""
    return with_options(
        command,
        option(
            "--image-size",
            type=click.IntRange(16, 1024),
            help="Pixels on a side.  [default: the generator's, at most 224]",
        ),
        option(
            "--real",
            type=click.Choice(["pack", "none"]),
            default="pack",
            show_default=True,
            help="With none, the synthetic half alone is built: it needs labels but no images.",
        ),
    )
