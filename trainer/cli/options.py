"""Options that commands share; `values` says what their values are."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from builder.contract import printable
from builder.contract.cores import usable_cores
from builder.contract.precision import ASKED_PRECISIONS
from builder.store import is_url
from builder.store.url import without_secrets
from trainer.fit.track import TRACKERS
from trainer.recipe import ARMS, AUGMENTS, OPTIMIZERS, SCHEDULES, STEPS

Command = TypeVar("Command", bound=Callable[..., Any])


def options_of(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator that adds several options, in the order given."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def setting(
    name: str, kind: Any, default: object, text: str, *, metavar: str | None = None
) -> Callable[[Command], Command]:
    """An option with a default, which its help shows after `text`; `kind` is its click type."""
    return click.option(
        name, type=kind, default=default, show_default=True, metavar=metavar, help=text
    )


def cores() -> int:
    """The cores that this rank may use."""
    return max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def seed(value: str) -> int:
    """A whole number from 0 to 2**63 - 1; help does not show the range of a function."""
    return int(click.IntRange(0, 2**63 - 1)(value))


class Here(click.Path):
    """A path on this disk; a URL is refused before it is taken for one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if isinstance(value, str) and is_url(value):
            shown = printable(without_secrets(value))
            self.fail(f"{shown} is a URL, and a path on this disk is needed: copy it here.", param)
        return super().convert(value, param, ctx)


class Finite(click.FloatRange):
    """A finite number in a range; click's own lets inf and nan pass."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number, or a refusal."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def shards_root_option(default: str) -> Callable[[Command], Command]:
    """--shards-root, where `default` says in words what it is otherwise."""
    about = f"Where the shards of the dataset lie.  [default: {default}]"
    return click.option("--shards-root", metavar="DIR|URL", help=about)


OUT = Here(path_type=Path)
WEIGHTS = Here(path_type=Path, exists=True, dir_okay=False)
RUN = Here(path_type=Path, exists=True, file_okay=False)
BATCH = click.IntRange(2)
ABOVE_0 = Finite(0, min_open=True)
OPTIMIZER = click.Choice(OPTIMIZERS)
shards_root = shards_root_option("beside manifests/")
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
    setting(
        "--device",
        str,
        "auto",
        "The device to compute on, such as cpu, cuda or cuda:1; auto: a GPU if there is one.",
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
    setting(
        "--cache-size",
        str,
        "100GB",
        "Most that --cache-dir may hold; the shards used longest ago are removed first.",
        metavar="SIZE",
    ),
)
memory = click.option(
    "--cache",
    metavar="ram[:SIZE]",
    help="Keep decoded images in memory: ram (half of what is free), or a size as in ram:20GB.",
)
synthetic_weight = setting(
    "--synthetic-weight",
    ABOVE_0,
    1.0,
    "How much a synthetic image's loss counts in the arm gan, and its copy's in oversample; a"
    " real image's counts 1.",
)
external = options_of(
    click.option(
        "--test",
        "tests",
        multiple=True,
        metavar="MANIFEST",
        help="Another sealed dataset on whose test images the best weights are scored, too;"
        " repeatable.",
    ),
    click.option(
        "--test-label",
        "test_labels",
        multiple=True,
        metavar="OURS=THEIRS",
        help="What a --test dataset calls a label, if its name differs; repeatable. Labels that it"
        " does not have are left out.",
    ),
)
saving = options_of(
    setting(
        "--checkpoint-minutes",
        Finite(0),
        10,
        "Minutes between saves within an epoch.",
    ),
    click.option(
        "--track",
        multiple=True,
        type=click.Choice(TRACKERS),
        help="Draw the curves of the run there, too; repeatable.",
    ),
)
scoring = setting(
    "--min-positives",
    click.IntRange(1),
    10,
    "Positive test images that a pathology needs to get figures.",
)
shown = options_of(
    setting(
        "--augment",
        click.Choice(AUGMENTS),
        "none",
        "Augmentation in any arm; flip mirrors images vertically and horizontally, each with"
        " probability 1/2; radiograph turns, shifts and zooms them a little and changes brightness"
        " and contrast.",
    ),
    setting(
        "--mix",
        str,
        "real=1,synthetic=1",
        "How much of the real and of the synthetic images an epoch shows.",
        metavar="ORIGIN=WEIGHT,…",
    ),
    setting(
        "--steps",
        click.Choice(STEPS),
        "equal",
        "Length of an epoch. equal: as many steps in every arm as in gan; own: the images of the"
        " arm once.",
    ),
)
point = options_of(
    setting("--batch", BATCH, 32, "Images per step, all processes of torchrun together."),
    setting("--lr", ABOVE_0, 1e-3, "Learning rate."),
    setting("--optimizer", OPTIMIZER, "adam", "Optimizer; momentum is SGD with momentum 0.9."),
)
training = options_of(
    setting("--epochs", click.IntRange(1), 10, "Epochs to train; the paper used at most 10."),
    setting(
        "--schedule",
        click.Choice(SCHEDULES),
        "constant",
        "Learning rate from step to step; cosine falls to 0 along half a cosine, so no epochs can"
        " be added later.",
    ),
    setting(
        "--network",
        str,
        "densenet121",
        "The network: densenet121 is torchxrayvision's, any other classifier is torchvision's, such"
        " as resnet18.",
        metavar="NAME",
    ),
    setting(
        "--init",
        str,
        "imagenet",
        "Weights to start from; PATH: torchvision's .pth of the network, or best.safetensors.",
        metavar="imagenet|random|PATH",
    ),
    setting(
        "--precision",
        click.Choice(ASKED_PRECISIONS),
        "fp32",
        "Precision of training; scores are always computed in fp32. tf32 and bf16 are faster on a"
        " GPU, bf16 on some CPUs. auto (for fit alone): the faster of fp32 and bf16, by a trial of"
        " seconds on a CPU; a resumed run keeps its own.",
    ),
    setting(
        "--accumulate",
        click.IntRange(1),
        1,
        "Pieces in which a batch goes through the network, to save memory.",
    ),
    click.option("--compile", is_flag=True, help="Compile the network with torch.compile."),
    click.option(
        "--sync-batchnorm",
        is_flag=True,
        help="Batch normalisation over the images of all processes of torchrun, not of each alone.",
    ),
    setting("--seed", seed, 0, "Seed of the weights, the order of images and the augmentation."),
)
