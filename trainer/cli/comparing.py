"""Commands that compare runs: report, paper."""

import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from builder.contract import UsageError
from trainer.cli.options import (
    ARMS,
    OUT,
    config_of,
    cores,
    machine,
    memory,
    point,
    saving,
    scoring,
    shards_root,
    shown,
    training,
)


@click.command()
@click.argument(
    "runs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--out",
    type=OUT,
    default=Path("report"),
    show_default=True,
    metavar="DIR",
    help="Where report.html, .md, .json and .tex go.",
)
@scoring
def report(runs: tuple[Path, ...], out: Path, min_positives: int) -> None:
    """Compare the runs in the folders RUNS, or below them: did the synthetic images help?

    Runs of one arm with different seeds are taken together; arms of one dataset are compared on the
    same patients. report.html opens without network.
    """
    if (out / "last.pt").exists():
        raise UsageError(f"{out} is a run's own folder: choose another --out.")
    _say(_write(runs, out, min_positives), out)


@click.command()
@click.argument("manifests", nargs=-1, required=True, metavar="FOLDER|MANIFEST…")
@shards_root
@click.option(
    "--out",
    type=OUT,
    default=Path("runs/paper"),
    show_default=True,
    metavar="DIR",
    help="Where the runs and their report/ go.",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    type=click.Choice(ARMS),
    help="An arm; repeatable.  [default: all]",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Runs of each arm, from --seed on.",
)
@click.option(
    "--grid",
    is_flag=True,
    help="Choose each arm's learning rate, batch and optimizer from the paper's grid, with the "
    "first seed.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    show_default="one, or one per GPU",
    help="Processes on this machine that share the runs.",
)
@click.option("--dry-run", is_flag=True, help="Say how long it will take, after a few steps.")
@shown
@point
@training
@machine
@memory
@saving
@scoring
def paper(
    manifests: tuple[str, ...],
    out: Path,
    arms: tuple[str, ...],
    seeds: int,
    grid: bool,
    jobs: int | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Run the paper's experiment on MANIFESTS: every dataset × arm × seed, ending in a report.

    Interrupted, the same command goes on. Several of them, on any machines that see the same --out,
    share the runs. An arm without synthetic images is trained once for datasets that differ in
    their synthetic pixels alone.
    """
    from builder.contract.lock import hold
    from trainer.experiment import devices, estimate, plan, run_local_workers, work

    _check_grid(grid)
    places = devices(options["device"], jobs)
    threads = max(1, cores() // len(places))
    if not _given("workers"):
        options["workers"] = threads
    config = config_of(options | {"shards": "", "out": out, "arm": None})
    planned = plan(manifests, config, arms=arms, seeds=seeds, grid=grid, out=out)
    if dry_run:
        from rich.console import Console

        rows, sentence = estimate(planned, places, threads)
        Console().print(rows)
        click.echo(sentence)
        return
    if len(places) > 1 and planned.left():
        run_local_workers(planned, devices=places, threads=threads)
    if not work(planned):
        click.echo("The runs that are left are in other processes' hands; the last one reports.")
        return
    # Several processes may have seen the last run complete.
    with hold(planned.report, wait=time.sleep):
        found = planned.reported(options["min_positives"]) or _write(
            planned.folders(), planned.report, options["min_positives"]
        )
    _say(found, planned.report)


def _check_grid(grid: bool) -> None:
    """Raise UsageError where an option was given that the grid chooses."""
    for name in ("lr", "batch", "optimizer"):
        if grid and _given(name):
            raise UsageError(f"--grid chooses --{name} itself: leave one of the two out.")


def _given(name: str) -> bool:
    """Whether the user named the option."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def _write(runs: tuple[Path, ...], out: Path, min_positives: int) -> dict[str, Any]:
    """What report.json holds, once all files of the report are written."""
    from trainer.report.write import write_report

    command = shlex.join(["xtrain", *sys.argv[1:]])
    return write_report(runs, out, min_positives=min_positives, command=command)


def _say(found: dict[str, Any], out: Path) -> None:
    """What the report in `out` says, on stdout."""
    for dataset in found["datasets"]:
        click.echo(f"{dataset['name']}:")
        for said in dataset["conclusions"]:
            click.echo(f"  {said['sentence']}")
    for note in found["notes"]:
        click.echo(f"Note: {note}")
    click.echo(
        f"Files: {click.format_filename(out)}/report.html, report.md, report.json, report.tex"
    )
