"""Options that commands share, and what they stand for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from builder.contract import UsageError

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


OUT = click.Path(path_type=Path)
ARMS = ("none", "flip", "gan", "oversample", "pretrain", "classweight")

shards_root = click.option(
    "--shards-root",
    metavar="DIR|URL",
    help="Where its shards are.  [default: beside manifests/]",
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
machine = options_of(
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 …"),
    click.option(
        "--workers",
        type=click.IntRange(1),
        default=cores(),
        help="Decode threads; the result does not depend on it.  [default: all cores]",
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
        help="Where fetched shards are kept.  [default: ~/.cache/cxr-rebalance/shards]",
    ),
    click.option(
        "--cache-size",
        default="100GB",
        show_default=True,
        metavar="SIZE",
        help="How much of it; the least recently used ones go first.",
    ),
)
memory = click.option(
    "--cache",
    metavar="ram[:SIZE]",
    help="Keep decoded images in memory, such as ram:20GB.  [ram: half of what is free]",
)
saving = options_of(
    click.option(
        "--checkpoint-minutes",
        type=click.FloatRange(0),
        default=10,
        show_default=True,
        help="Time between saves within an epoch.",
    ),
    click.option(
        "--track",
        multiple=True,
        type=click.Choice(["tensorboard", "wandb"]),
        help="Send the curves there too; repeatable.",
    ),
)
scoring = click.option(
    "--min-positives",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Positives that a pathology needs in test to get figures.",
)
arm = click.option(
    "--arm",
    type=click.Choice(ARMS),
    default=None,
    help="What to train on.  [default: gan, or none without synthetic images]",
)
shown = options_of(
    click.option(
        "--augment",
        type=click.Choice(["none", "flip"]),
        default="none",
        show_default=True,
        help="flip: vertically and horizontally, each with probability 1/2, in any arm.",
    ),
    click.option(
        "--mix",
        default="real=1,synthetic=1",
        show_default=True,
        metavar="ORIGIN=WEIGHT,…",
        help="How much of each origin an epoch takes.",
    ),
    click.option(
        "--steps",
        type=click.Choice(["equal", "own"]),
        default="equal",
        show_default=True,
        help="equal: as many in every arm as in gan; own: an epoch is the arm's images once.",
    ),
)
BATCH, LR = click.IntRange(2), click.FloatRange(0, min_open=True)
OPTIMIZER = click.Choice(["adam", "momentum"])
point = options_of(
    click.option(
        "--batch",
        type=BATCH,
        default=32,
        show_default=True,
        help="Images per step, all ranks together.",
    ),
    click.option(
        "--lr",
        type=LR,
        default=1e-3,
        show_default=True,
        help="Learning rate.",
    ),
    click.option(
        "--optimizer",
        type=OPTIMIZER,
        default="adam",
        show_default=True,
        help="momentum: SGD with 0.9.",
    ),
)
training = options_of(
    click.option(
        "--epochs", type=click.IntRange(1), default=10, show_default=True, help="The paper's most."
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
        type=click.Choice(["fp32", "bf16"]),
        default="fp32",
        show_default=True,
        help="bf16: mixed.",
    ),
    click.option(
        "--accumulate",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Pieces in which a batch goes through the network, to save memory.",
    ),
    click.option("--compile", is_flag=True, help="torch.compile the network."),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**63 - 1),
        default=0,
        show_default=True,
        help="Of weights, order and flips.",
    ),
)
RECIPE = (
    *("epochs", "batch", "lr", "optimizer", "arm", "augment", "mix", "steps", "init", "seed"),
    *("precision", "accumulate", "compile"),
)


def cache_of(options: dict[str, Any]) -> Any:
    """Where fetched shards are kept."""
    from builder.store import Cache, default_cache_folder
    from trainer.stream.ram import parse_bytes

    return Cache(
        folder=options["cache_dir"] or default_cache_folder(),
        max_bytes=parse_bytes("--cache-size", options["cache_size"]),
    )


def config_of(options: dict[str, Any]) -> Any:
    """The config that the options stand for."""
    from trainer.config import Config
    from trainer.recipe import Recipe
    from trainer.stream.ram import half_of_free, parse_bytes

    kind, _, size = (options.get("cache") or "").partition(":")
    if kind not in ("", "ram"):
        raise UsageError(f"--cache {kind} is not known: use ram, or ram:20GB.")
    recipe = {name: options[name] for name in RECIPE}
    return Config(
        shards=options["shards"],
        shards_root=options["shards_root"],
        out=options["out"],
        recipe=Recipe(**recipe | {"arm": options["arm"] or ""}),
        device=options["device"],
        workers=options["workers"],
        resume=options.get("resume", True),
        skip_bad=options["skip_bad"],
        ram_bytes=(parse_bytes("--cache", size) if size else half_of_free()) if kind else 0,
        cache=cache_of(options),
        save_every=60 * options.get("checkpoint_minutes", 10),
        track=options.get("track", ()),
        min_positives=options["min_positives"],
    )
