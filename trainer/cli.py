"""Words into arguments. Nothing heavy is imported before a command runs."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from builder.contract import UsageError

INTERRUPTED = 130  # what shells report for Ctrl-C
Command = TypeVar("Command", bound=Callable[..., Any])


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
        except UsageError as error:
            stopped = error.exit_code > 128
            message, code = f"{error}" if stopped else f"Error: {error}", error.exit_code
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            message, code = f"Error: {error.strerror or error}{where}.", 1
        except KeyboardInterrupt:
            fits = ctx.invoked_subcommand in ("fit", "sweep")
            message = "Stopped." + (" xtrain fit goes on with --resume." if fits else "")
            code = INTERRUPTED
        click.echo(message, err=True)
        raise click.exceptions.Exit(code)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
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

shards_root = click.option(
    "--shards-root",
    metavar="DIR|URL",
    help="Where its shards are.  [default: beside manifests/]",
)
dataset = together(
    click.option(
        "--shards",
        required=True,
        metavar="MANIFEST",
        help="The dataset: manifests/gan10.json, or an s3://, gs://, hf:// or https:// URL.",
    ),
    shards_root,
)
machine = together(
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
saving = together(
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
arm = together(
    click.option(
        "--arm",
        type=click.Choice(["none", "flip", "gan", "oversample", "pretrain", "classweight"]),
        default=None,
        help="What to train on.  [default: gan, or none without synthetic images]",
    ),
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
point = together(
    click.option(
        "--batch",
        type=click.IntRange(2),
        default=32,
        show_default=True,
        help="Images per step, all ranks together.",
    ),
    click.option(
        "--lr",
        type=click.FloatRange(0, min_open=True),
        default=1e-3,
        show_default=True,
        help="Learning rate.",
    ),
    click.option(
        "--optimizer",
        type=click.Choice(["adam", "momentum"]),
        default="adam",
        show_default=True,
        help="momentum: SGD with 0.9.",
    ),
)
training = together(
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


@click.group(cls=Line, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cxr-rebalance")
def main() -> None:
    """Train a classifier on a sealed dataset and report its AUC per pathology.

    `xtrain --shards MANIFEST` is short for `xtrain fit --shards MANIFEST`.
    """


@main.command()
@dataset
@click.option(
    "--out",
    type=OUT,
    default=Path(),
    metavar="DIR",
    help="Where the run's files go.  [default: runs/NAME-ARM]",
)
@arm
@point
@training
@machine
@memory
@saving
@click.option("--resume", is_flag=True, help="Go on where the run in --out last saved.")
def fit(**words: Any) -> None:
    """Train on a dataset, score the best epoch on its test images, write the report."""
    from trainer.train import train

    _show(train(_config(words)))


@main.command()
@dataset
@click.option(
    "--out",
    type=OUT,
    default=Path(),
    metavar="DIR",
    help="Where the sweep's files go.  [default: runs/NAME-ARM-sweep]",
)
@click.option(
    "--storage",
    metavar="URL",
    help="A database that records the sweep, as Optuna names it.  [default: OUT/sweep.journal]",
)
@arm
@training
@machine
@memory
@saving
@click.option("--lr", multiple=True, type=float, help="A learning rate of the grid; repeatable.")
@click.option("--batch", multiple=True, type=int, help="A batch of the grid; repeatable.")
@click.option(
    "--optimizer",
    multiple=True,
    type=click.Choice(["adam", "momentum"]),
    help="An optimizer of the grid; repeatable.",
)
def sweep(
    storage: str | None,
    lr: tuple[float, ...],
    batch: tuple[int, ...],
    optimizer: tuple[str, ...],
    **words: Any,
) -> None:
    """Train every point of a grid, the paper's by default; only the best is scored on test.

    Interrupted, the same command goes on. Several of them, on any machines that see the same
    --out and storage, share the work.
    """
    from trainer.sweep import GRID, markdown
    from trainer.train import sweep as search

    asked = {"lr": lr, "batch": batch, "optimizer": optimizer}
    grid = {name: asked[name] or values for name, values in GRID.items()}
    first = {name: values[0] for name, values in grid.items()}
    trials, found = search(_config(words | first), grid, storage)
    click.echo(markdown(trials))
    _show(found)


@main.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--shards", metavar="MANIFEST", help="Where its dataset is now, if it was moved.")
@shards_root
@machine
def evaluate(run: Path, shards: str | None, shards_root: str | None, **words: Any) -> None:
    """Score the best epoch of the run in the folder RUN again, and write its report anew."""
    from trainer.config import asked_of
    from trainer.train import rescore

    asked = asked_of(run)
    words |= {"shards": shards or asked["shards"], "shards_root": shards_root}
    if shards is None and shards_root is None:
        words["shards_root"] = asked["shards_root"]
    recipe = {name: asked[name] for name in RECIPE}
    _show(rescore(_config(words | recipe | {"out": run})))


@main.command()
@click.argument("weights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("images", nargs=-1, required=True, metavar="IMAGES|FOLDER|MANIFEST…")
@click.option(
    "--out",
    type=OUT,
    required=True,
    metavar="FILE",
    help="A .csv or .parquet file: a row per image, a column per pathology.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test", "all"]),
    default="test",
    show_default=True,
    help="Of a manifest.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=32, show_default=True, help="Images at a time."
)
@shards_root
@machine
def predict(
    weights: Path,
    images: tuple[str, ...],
    out: Path,
    split: str,
    batch: int,
    shards_root: str | None,
    **words: Any,
) -> None:
    """Apply the WEIGHTS of a run (best.safetensors) to images, and write probabilities.

    Images are PNG or JPEG files, folders of them, or one manifest with its shards; files are
    prepared as they are for training.
    """
    from trainer.devices import pick_device
    from trainer.predict import predict_files, predict_shards

    how = {name: words[name] for name in ("workers", "skip_bad")} | {"out": out}
    how |= {"batch": batch, "device": pick_device(words["device"])}
    if found := _located(images, shards_root, words):
        done = predict_shards(weights, found, split=split, **how)
    else:
        done = predict_files(weights, [Path(image) for image in images], **how)
    click.echo(f"Wrote {done.images:,} rows to {out}.")
    for bad in done.skipped:
        click.echo(f"Left out: {bad.image}: {bad.reason}", err=True)


@main.command()
@click.argument("weights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("images", nargs=-1, required=True, metavar="IMAGES|FOLDER|MANIFEST…")
@click.option("--out", type=OUT, required=True, metavar="FILE", help="A .png file.")
@click.option(
    "--pathology",
    "pathologies",
    multiple=True,
    metavar="NAME",
    help="A row of the sheet; repeatable.  [default: the plan's targets; of files, all]",
)
@click.option(
    "--images",
    "count",
    type=click.IntRange(1, 12),
    help="How many of each pathology.  [default: 4, or all files that are named]",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Of a manifest: where real images are taken from; synthetic ones are in train alone.",
)
@shards_root
@machine
def cam(
    weights: Path,
    images: tuple[str, ...],
    out: Path,
    pathologies: tuple[str, ...],
    count: int | None,
    split: str,
    shards_root: str | None,
    **words: Any,
) -> None:
    """Draw what speaks for a pathology in images, and what against it, by the WEIGHTS of a run.

    Class activation maps over PNG or JPEG files, the first files of a folder, or positive images
    of a manifest, half of them synthetic; those are drawn by lot, never by their score.
    """
    from trainer.cam import cam_files, cam_shards
    from trainer.devices import pick_device

    how = {name: words[name] for name in ("workers", "skip_bad")} | {"out": out}
    how |= {"pathologies": pathologies, "images": count, "device": pick_device(words["device"])}
    if found := _located(images, shards_root, words):
        done = cam_shards(weights, found, split=split, **how)
    else:
        done = cam_files(weights, [Path(image) for image in images], **how)
    click.echo(f"Wrote {len(done.cams)} maps to {out}: {', '.join(done.pathologies)}.")
    for pathology, note in done.notes.items():
        click.echo(f"{pathology}: {note}.", err=True)
    for bad in done.skipped:
        click.echo(f"Left out: {bad.image}: {bad.reason}", err=True)


def _located(images: Sequence[str], shards_root: str | None, words: dict[str, Any]) -> Any:
    """The dataset whose manifest is the only one of `images`; None where they are image files."""
    if any(image.endswith(".json") for image in images):
        if len(images) > 1:
            raise UsageError("Name one manifest at a time, without other images beside it.")
        from trainer.locate import locate

        return locate(images[0], shards_root, _cache(words))
    if urls := [image for image in images if "://" in image]:
        raise UsageError(f"{urls[0]} is a URL, which only a manifest may be: fetch it first.")
    return None


def _cache(words: dict[str, Any]) -> Any:
    """Where fetched shards are kept."""
    from trainer.ram import parse_bytes
    from trainer.remote import Cache, default_cache_folder

    return Cache(
        folder=words["cache_dir"] or default_cache_folder(),
        most_bytes=parse_bytes("--cache-size", words["cache_size"]),
    )


def _config(words: dict[str, Any]) -> Any:
    """The config that the options stand for."""
    from trainer.config import Config
    from trainer.fit import Recipe
    from trainer.ram import half_of_free, parse_bytes

    kind, _, size = (words.get("cache") or "").partition(":")
    if kind not in ("", "ram"):
        raise UsageError(f"--cache {kind} is not known: use ram, or ram:20GB.")
    recipe = {name: words[name] for name in RECIPE}
    return Config(
        shards=words["shards"],
        shards_root=words["shards_root"],
        out=words["out"],
        recipe=Recipe(**recipe | {"arm": words["arm"] or ""}),
        device=words["device"],
        workers=words["workers"],
        resume=words.get("resume", True),
        skip_bad=words["skip_bad"],
        ram_bytes=(parse_bytes("--cache", size) if size else half_of_free()) if kind else 0,
        cache=_cache(words),
        save_every=60 * words.get("checkpoint_minutes", 10),
        track=words.get("track", ()),
    )


def _show(found: dict[str, Any]) -> None:
    """The targets' rows and the notes on stdout; on several ranks only once."""
    if int(os.environ.get("RANK", "0")):
        return
    from rich.console import Console

    from trainer.report import table

    console = Console()
    console.print(table(found))
    for note in found["notes"]:
        console.print(note, style="yellow", markup=False)
    out = found["config"]["out"]
    files = f"Files: {out}/report.md, curves.png, report.json, predictions.parquet …"
    console.print(files, markup=False)
