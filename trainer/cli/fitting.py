"""Commands that train and score: fit, sweep, evaluate."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from trainer.cli.options import (
    ABOVE_0,
    BATCH,
    OPTIMIZER,
    OUT,
    RUN,
    arm,
    dataset,
    external,
    machine,
    memory,
    point,
    saving,
    scoring,
    shards_root_option,
    shown,
    synthetic_weight,
    training,
)
from trainer.cli.terminal import echo
from trainer.cli.values import (
    DatasetOptions,
    ExternalOptions,
    MachineOptions,
    PointOptions,
    RunOptions,
    WeightOptions,
    scoring_machine,
    settings_of,
    with_tests,
)
from trainer.recipe import Optimizer

if TYPE_CHECKING:
    from trainer.report import RunReport


class FitOptions(DatasetOptions, RunOptions, PointOptions, WeightOptions, ExternalOptions):
    """The values of the options of `fit`."""

    out: Path | None
    resume: bool


class SweepOptions(DatasetOptions, RunOptions, WeightOptions):
    """The values of the options of `sweep`, apart from its grid."""

    out: Path | None


class EvaluateOptions(MachineOptions, ExternalOptions):
    """The values of the options of `evaluate`, apart from its dataset."""

    min_positives: int


@click.command()
@dataset
@click.option(
    "--out",
    type=OUT,
    metavar="DIR",
    help="Folder for the files of the run.  [default: runs/NAME-ARM]",
)
@arm
@shown
@synthetic_weight
@point
@training
@machine
@memory
@saving
@scoring
@external
@click.option("--resume", is_flag=True, help="Resume the run in --out where it last saved.")
def fit(**options: Unpack[FitOptions]) -> None:
    """Train on a dataset, score the best epoch, write the report.

    The best epoch by validation AUC is scored on the test images.
    """
    from trainer.config import Request, resolve, with_precision
    from trainer.train import train

    request = Request(
        shards=options["shards"],
        shards_root=options["shards_root"],
        arm=options["arm"],
        out=options["out"],
        resume=options["resume"],
        settings=settings_of(options, options, options["synthetic_weight"]),
    )
    found = request.locate()
    plan = resolve(with_precision(request, found.manifest), found.manifest)
    if options["precision"] == "auto":
        echo(f"Precision: {plan.recipe.precision}.", err=True)
    show(train(with_tests(plan, found, options), found))
    show_external(plan.out)


@click.command()
@dataset
@click.option(
    "--out",
    type=OUT,
    metavar="DIR",
    help="Folder for the files of the sweep.  [default: runs/NAME-ARM-sweep]",
)
@click.option(
    "--storage",
    metavar="URL",
    help="A database that records the sweep, as Optuna names it.  [default: OUT/sweep.journal]",
)
@arm
@shown
@synthetic_weight
@training
@machine
@memory
@saving
@scoring
@click.option(
    "--lr", "lrs", multiple=True, type=ABOVE_0, help="A learning rate of the grid; repeatable."
)
@click.option(
    "--batch", "batches", multiple=True, type=BATCH, help="A batch size of the grid; repeatable."
)
@click.option(
    "--optimizer",
    "optimizers",
    multiple=True,
    type=OPTIMIZER,
    help="An optimizer of the grid; repeatable.",
)
def sweep(
    storage: str | None,
    lrs: tuple[float, ...],
    batches: tuple[int, ...],
    optimizers: tuple[Optimizer, ...],
    **options: Unpack[SweepOptions],
) -> None:
    """Train every point of a grid; score the best one on test.

    The grid is the paper's where no value is given. After an interruption the same command resumes.
    Several processes, on any machines that see the same --out and storage, share the work.
    """
    from trainer.config import Request, resolve
    from trainer.sweep import GRID, Grid, markdown
    from trainer.train import sweep as search

    grid = Grid(
        lr=lrs or GRID.lr,
        batch=batches or GRID.batch,
        optimizer=optimizers or GRID.optimizer,
    )
    first = grid.points()[0]
    request = Request(
        shards=options["shards"],
        shards_root=options["shards_root"],
        arm=options["arm"],
        out=options["out"],
        resume=True,
        settings=settings_of(
            options,
            {"lr": first.lr, "batch": first.batch, "optimizer": first.optimizer},
            options["synthetic_weight"],
        ),
    )
    found = request.locate()
    plan = resolve(request, found.manifest, suffix="-sweep")
    trials, best = search(plan, found, grid, storage)
    echo(markdown(trials))
    show(best)


@click.command()
@click.argument("run", type=RUN)
@click.option("--shards", metavar="MANIFEST", help="The dataset of the run, if it was moved since.")
@shards_root_option("as the run had it; with --shards beside manifests/")
@machine
@scoring
@external
def evaluate(
    run: Path, shards: str | None, shards_root: str | None, **options: Unpack[EvaluateOptions]
) -> None:
    """Score the best epoch of a run again and rewrite its report.

    RUN is the folder of a run of xtrain fit. With --test it is also scored on other datasets.
    """
    from trainer.config import RunPlan
    from trainer.recipe import read_config
    from trainer.train import rescore

    begun = read_config(run)
    if shards is None and shards_root is None:
        shards_root = begun.shards_root
    plan = RunPlan(
        recipe=begun.recipe,
        out=run,
        shards=shards or begun.shards,
        shards_root=shards_root,
        skip_bad=options["skip_bad"],
        resume=True,
        min_positives=options["min_positives"],
        machine=scoring_machine(options),
    )
    found = plan.locate()
    show(rescore(with_tests(plan, found, options), found))
    show_external(run)


def show(report: "RunReport") -> None:
    """Print the targets' rows and the notes; of several ranks only the first one does."""
    if int(os.environ.get("RANK", "0")):
        return
    from rich.console import Console

    from trainer.report import table

    console = Console()
    console.print(table(report))
    for note in report.notes:
        console.print(note, style="yellow", markup=False)
    files = "report.md, curves.png, report.json, predictions.parquet …"
    console.print(f"Files: {report.config.out}/{files}", markup=False)


def show_external(run: Path) -> None:
    """Print what the run scored on other datasets; of several ranks only the first one does."""
    if int(os.environ.get("RANK", "0")):
        return
    from rich.console import Console

    from trainer.report import external_tables

    for found in external_tables(run):
        Console().print(found)
