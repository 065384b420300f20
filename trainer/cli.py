"""Words into arguments. Nothing heavy is imported before a command runs."""

import os
from pathlib import Path
from typing import Any

import click

from builder.contract import UsageError, load_manifest

INTERRUPTED = 130  # what shells report for Ctrl-C


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
            message, code = f"Error: {error}", error.exit_code
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            message, code = f"Error: {error.strerror or error}{where}.", 1
        except KeyboardInterrupt:
            message = "Stopped. The same command with --resume goes on after the last whole epoch."
            code = INTERRUPTED
        click.echo(message, err=True)
        raise click.exceptions.Exit(code)


@click.group(cls=Line, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cxr-rebalance")
def main() -> None:
    """Train a classifier on a sealed dataset and report its AUC per pathology.

    `xtrain --shards MANIFEST` is short for `xtrain fit --shards MANIFEST`.
    """


@main.command()
@click.option(
    "--shards",
    type=click.Path(path_type=Path),
    required=True,
    metavar="MANIFEST",
    help="The dataset, such as manifests/gan10.json.",
)
@click.option(
    "--shards-root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where its shards are.  [default: beside manifests/]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the run's files go.  [default: runs/NAME]",
)
@click.option(
    "--epochs", type=click.IntRange(1), default=10, show_default=True, help="The paper's most."
)
@click.option(
    "--batch", type=click.IntRange(2), default=32, show_default=True, help="Images per step."
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=1e-3,
    show_default=True,
    help="Learning rate.",
)
@click.option(
    "--optimizer",
    type=click.Choice(["adam", "momentum"]),
    default="adam",
    show_default=True,
    help="momentum: SGD with 0.9.",
)
@click.option(
    "--augment",
    type=click.Choice(["none", "flip"]),
    default="none",
    show_default=True,
    help="flip: vertically and horizontally, each with probability 1/2.",
)
@click.option(
    "--init",
    default="imagenet",
    show_default=True,
    metavar="imagenet|random|PATH",
    help="Weights to start from; PATH: torchvision's densenet121-*.pth, or a best.safetensors.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 …")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=os.cpu_count() or 1,
    help="Decode threads; the result does not depend on it.  [default: all cores]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Of weights, order and flips.",
)
@click.option("--resume", is_flag=True, help="Go on after the last whole epoch in --out.")
def fit(
    shards: Path,
    shards_root: Path | None,
    out: Path | None,
    device: str,
    workers: int,
    resume: bool,
    **recipe: Any,
) -> None:
    """Train on a dataset, score the best epoch on its test images, write the report."""
    manifest = load_manifest(shards)

    from rich.console import Console

    from trainer.fit import Recipe
    from trainer.report import table
    from trainer.train import Config, train

    config = Config(
        shards=shards,
        shards_root=shards_root,
        out=out or Path("runs") / manifest.name,
        recipe=Recipe(**recipe),
        device=device,
        workers=workers,
        resume=resume,
    )
    found = train(manifest, config)
    console = Console()
    console.print(table(found))
    for note in found["notes"]:
        console.print(note, style="yellow", markup=False)
    files = f"Files: {config.out}/report.md, curves.png, report.json, predictions.parquet …"
    console.print(files, markup=False)
