"""Commands that train and score: fit, sweep, evaluate."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from trainer.cli.options import (
    BATCH,
    LR,
    OPTIMIZER,
    OUT,
    RECIPE,
    arm,
    config_of,
    dataset,
    machine,
    memory,
    point,
    saving,
    scoring,
    shards_root,
    shown,
    training,
)
from trainer.recipe import Optimizer


@click.command()
@dataset
@click.option(
    "--out",
    type=OUT,
    default=Path(),
    metavar="DIR",
    help="Where the run's files go.  [default: runs/NAME-ARM]",
)
@arm
@shown
@point
@training
@machine
@memory
@saving
@scoring
@click.option("--resume", is_flag=True, help="Go on where the run in --out last saved.")
def fit(**options: Any) -> None:
    """Train on a dataset, score the best epoch on its test images, write the report."""
    from trainer.train import train

    show(train(config_of(options)))


@click.command()
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
@shown
@training
@machine
@memory
@saving
@scoring
@click.option("--lr", multiple=True, type=LR, help="A learning rate of the grid; repeatable.")
@click.option("--batch", multiple=True, type=BATCH, help="A batch of the grid; repeatable.")
@click.option(
    "--optimizer",
    multiple=True,
    type=OPTIMIZER,
    help="An optimizer of the grid; repeatable.",
)
def sweep(
    storage: str | None,
    lr: tuple[float, ...],
    batch: tuple[int, ...],
    optimizer: tuple[Optimizer, ...],
    **options: Any,
) -> None:
    """Train every point of a grid, the paper's by default; only the best is scored on test.

    Interrupted, the same command goes on. Several of them, on any machines that see the same
    --out and storage, share the work.
    """
    from trainer.sweep import GRID, Grid, markdown
    from trainer.train import sweep as search

    grid = Grid(lr=lr or GRID.lr, batch=batch or GRID.batch, optimizer=optimizer or GRID.optimizer)
    first = asdict(grid.points()[0])
    trials, found = search(config_of(options | first), grid, storage)
    click.echo(markdown(trials))
    show(found)


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--shards", metavar="MANIFEST", help="Where its dataset is now, if it was moved.")
@shards_root
@machine
@scoring
def evaluate(run: Path, shards: str | None, shards_root: str | None, **options: Any) -> None:
    """Score the best epoch of the run in the folder RUN again, and write its report anew."""
    from trainer.config import asked_of
    from trainer.train import rescore

    asked = asked_of(run)
    options |= {"shards": shards or asked["shards"], "shards_root": shards_root}
    if shards is None and shards_root is None:
        options["shards_root"] = asked["shards_root"]
    recipe = {name: asked[name] for name in RECIPE}
    show(rescore(config_of(options | recipe | {"out": run})))


def show(found: dict[str, Any]) -> None:
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
