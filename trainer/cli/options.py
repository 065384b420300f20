"""Options that commands share; `values` says what their values are."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from trainer.fit.track import TRACKERS
from trainer.recipe import ARMS, AUGMENTS, OPTIMIZERS, PRECISIONS, STEPS

Command = TypeVar("Command", bound=Callable[..., Any])


def options_of(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator that adds several options, in the order given."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def cores() -> int:
    """The cores that this rank may use."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, here // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def integer(value: str) -> int:
    """A whole number from 0 to 2**63 - 1; as a function, so that help does not show the range."""
    return int(click.IntRange(0, 2**63 - 1)(value))


OUT = click.Path(path_type=Path)
BATCH = click.IntRange(2)
LR = click.FloatRange(0, min_open=True)
OPTIMIZER = click.Choice(OPTIMIZERS)

shards_root = click.option(
    "--shards-root",
    metavar="DIR|URL",
    help="Where the shards of the dataset lie.  [default: beside manifests/]",
)
dataset = options_of(
    click.option(
        "--shards",
        required=True,
        metavar="MANIFEST",
        help="The dataset: manifests/gan10.json, or an s3://, gs://, hf:// or https:// URL.",
    ),
    shards_root,
)
arm = click.option(
    "--arm",
    type=click.Choice(ARMS),
    help="What to train on.  [default: gan, or none without synthetic images]",
)
machine = options_of(
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="The device to compute on, such as cpu, cuda or cuda:1; auto: a GPU if there is one.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1),
        default=cores(),
        help="Threads that decode images; the result is the same with any number."
        "  [default: all cores]",
    ),
    click.option(
        "--skip-bad",
        is_flag=True,
        help="Count images that cannot be read and leave them out, instead of stopping.",
    ),
    click.option(
        "--cache-dir",
        type=OUT,
        metavar="DIR",
        help="Where shards from a URL are kept.  [default: ~/.cache/cxr-rebalance/shards]",
    ),
    click.option(
        "--cache-size",
        default="100GB",
        show_default=True,
        metavar="SIZE",
        help="Most that --cache-dir may hold; the shards used longest ago are removed first.",
    ),
)


memory = click.option(
    "--cache",
    metavar="ram[:SIZE]",
    help="Keep decoded images in memory: ram (half of what is free), or a size as in ram:20GB.",
)
saving = options_of(
    click.option(
        "--checkpoint-minutes",
        type=click.FloatRange(0),
        default=10,
        show_default=True,
        help="Minutes between saves within an epoch.",
    ),
    click.option(
        "--track",
        multiple=True,
        type=click.Choice(TRACKERS),
        help="Draw the curves of the run there, too; repeatable.",
    ),
)
scoring = click.option(
    "--min-positives",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Positive test images that a pathology needs to get figures.",
)
shown = options_of(
    click.option(
        "--augment",
        type=click.Choice(AUGMENTS),
        default="none",
        show_default=True,
        help="flip: mirror images vertically and horizontally, each with probability 1/2.",
    ),
    click.option(
        "--mix",
        default="real=1,synthetic=1",
        show_default=True,
        metavar="ORIGIN=WEIGHT,…",
        help="How much of the real and of the synthetic images an epoch shows.",
    ),
    click.option(
        "--steps",
        type=click.Choice(STEPS),
        default="equal",
        show_default=True,
        help="Length of an epoch. equal: as many steps in every arm as in gan; own: the images of "
        "the arm once.",
    ),
)
point = options_of(
    click.option(
        "--batch",
        type=BATCH,
        default=32,
        show_default=True,
        help="Images per step, all processes of torchrun together.",
    ),
    click.option("--lr", type=LR, default=1e-3, show_default=True, help="Learning rate."),
    click.option(
        "--optimizer",
        type=OPTIMIZER,
        default="adam",
        show_default=True,
        help="Optimizer; momentum is SGD with a momentum of 0.9.",
    ),
)
training = options_of(
    click.option(
        "--epochs",
        type=click.IntRange(1),
        default=10,
        show_default=True,
        help="Epochs to train; the paper used at most 10.",
    ),
    click.option(
        "--init",
        default="imagenet",
        show_default=True,
        metavar="imagenet|random|PATH",
        help="Weights to start from; PATH: torchvision's densenet121-*.pth, or best.safetensors.",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="fp32",
        show_default=True,
        help="Precision of the arithmetic; bf16 is mixed precision.",
    ),
    click.option(
        "--accumulate",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Pieces in which a batch goes through the network, to save memory.",
    ),
    click.option("--compile", is_flag=True, help="Compile the network with torch.compile."),
    click.option(
        "--seed",
        type=integer,
        default=0,
        show_default=True,
        help="Seed of the weights, the order of the images and the flips.",
    ),
)
