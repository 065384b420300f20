"""Commands that compare runs: report, experiment."""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click
from click.core import ParameterSource

from builder.contract import UsageError
from trainer.cli.options import (
    ABOVE_0,
    OUT,
    RUN,
    cores,
    external,
    machine,
    memory,
    point,
    saving,
    scoring,
    setting,
    shards_root,
    shown,
    training,
)
from trainer.cli.terminal import echo
from trainer.cli.values import (
    PointOptions,
    RunOptions,
    settings_of,
)
from trainer.recipe import ARMS, ArmName

if TYPE_CHECKING:
    from trainer.report import Report


class ExperimentOptions(RunOptions, PointOptions):
    """The values of the options that every run of an experiment has."""


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RUN)
@setting(
    "--out", OUT, Path("report"), "Folder for report.html, .md, .json and .tex.", metavar="DIR"
)
@scoring
def report(runs: tuple[Path, ...], out: Path, min_positives: int) -> None:
    """Compare runs: did the synthetic images help?

    RUNS are folders of runs, or folders above them. Runs of one arm with different seeds are taken
    together; arms of one dataset are compared on the same patients. report.html opens without a
    network.
    """
    from trainer.fit.run_folder import RunFolder

    if RunFolder(out).is_begun():
        raise UsageError(f"{out} is the folder of a run: choose another --out.")
    _say(_write(runs, out, min_positives), out)


@click.command()
@click.argument("manifests", nargs=-1, required=True, metavar="FOLDER|MANIFEST…")
@shards_root
@setting("--out", OUT, Path("runs/paper"), "Folder for the runs and their report/.", metavar="DIR")
@click.option(
    "--arm",
    "arms",
    multiple=True,
    type=click.Choice(ARMS),
    help="An arm to train; repeatable.  [default: all but radiograph]",
)
@setting(
    "--seeds",
    click.IntRange(1),
    5,
    "Runs of each arm; the first one has --seed, the others the next numbers.",
)
@click.option(
    "--synthetic-weight",
    "weights",
    multiple=True,
    type=ABOVE_0,
    help="How much a synthetic image's loss counts in the arm gan, and its copy's in oversample;"
    " repeatable: each weight makes an arm of its own.  [default: 1]",
)
@click.option(
    "--grid",
    is_flag=True,
    help="Choose each arm's learning rate, batch and optimizer from the paper's grid, with the "
    "first seed.",
)
@external
@click.option(
    "--jobs",
    type=click.IntRange(1),
    show_default="one, or one per GPU",
    help="Processes on this machine that share the runs.",
)
@click.option(
    "--dry-run", is_flag=True, help="Estimate how long it takes from a few steps; train nothing."
)
@shown
@point
@training
@machine
@memory
@saving
@scoring
def experiment(
    manifests: tuple[str, ...],
    shards_root: str | None,
    out: Path,
    arms: tuple[ArmName, ...],
    seeds: int,
    weights: tuple[float, ...],
    grid: bool,
    tests: tuple[str, ...],
    test_labels: tuple[str, ...],
    jobs: int | None,
    dry_run: bool,
    **options: Unpack[ExperimentOptions],
) -> None:
    """Run the paper's experiment: datasets × arms × seeds.

    It trains every arm with every seed on every one of the MANIFESTS and ends in a report. After an
    interruption the same command resumes. Several processes, on any machines that see the same
    --out, share the runs. An arm without synthetic images is trained once for datasets that do not
    differ in what it shows.
    """
    from builder.contract.lock import hold
    from trainer.evaluate.external import read_pairs
    from trainer.experiment import devices, estimate, plan, run_local_workers, work

    _check_grid(grid)
    places = devices(options["device"], jobs)
    threads = max(1, cores() // len(places))
    if not _is_given("workers"):
        options["workers"] = threads
    planned = plan(
        manifests,
        settings_of(options, options, processes=len(places)),
        shards_root=shards_root,
        arms=arms,
        seeds=seeds,
        weights=weights or (1.0,),
        grid=grid,
        out=out,
        tests=tests,
        test_labels=read_pairs(test_labels),
    )
    if dry_run:
        from rich.console import Console

        rows, sentence = estimate(planned, places, threads)
        Console().print(rows)
        echo(sentence)
        return
    if len(places) > 1 and planned.left():
        run_local_workers(planned, devices=places, threads=threads)
    if not work(planned):
        echo("Other processes are training the runs that are left; the last one reports.")
        return
    # Several processes may have seen the last run complete.
    with hold(planned.report, wait=time.sleep):
        found = planned.current_report(options["min_positives"]) or _write(
            planned.folders(), planned.report, options["min_positives"], planned.tests
        )
    _say(found, planned.report)


def _check_grid(grid: bool) -> None:
    """Raise UsageError where an option was given that the grid chooses."""
    for name in ("lr", "batch", "optimizer"):
        if grid and _is_given(name):
            raise UsageError(f"--grid chooses --{name} itself: leave one of the two out.")


def _is_given(name: str) -> bool:
    """Whether the user named the option."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def _write(
    runs: tuple[Path, ...], out: Path, min_positives: int, tests: tuple[str, ...] | None = None
) -> "Report":
    """The report of the runs, once all of its files are written.

    `tests` are the digests of the external tests that it shows; None: all that the runs have.
    """
    from trainer.report.write import write_report

    command = shlex.join(["xtrain", *sys.argv[1:]])
    return write_report(runs, out, min_positives=min_positives, command=command, tests=tests)


def _say(report: "Report", out: Path) -> None:
    """Print what the report in `out` says."""
    for dataset in report.datasets:
        echo(f"{dataset.name}:")
        for conclusion in dataset.conclusions:
            echo(f"  {conclusion.sentence}")
        if not dataset.conclusions:
            echo("  no arm with synthetic images was trained, so there is nothing to conclude.")
        for test in dataset.external:
            echo(f"{dataset.name}, tested on {test.name}:")
            for said in test.conclusions:
                echo(f"  {said.sentence}")
    for note in report.notes:
        echo(f"Note: {note}")
    echo(f"Files: {click.format_filename(out)}/report.html, report.md, report.json, report.tex")
