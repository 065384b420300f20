"""How long the experiment will take, as a table and a sentence."""

from collections.abc import Sequence

from rich.table import Table

from trainer.experiment.jobs import Experiment, RunJob
from trainer.experiment.measure import measure
from trainer.experiment.speed import Speed, makespan


def estimate(experiment: Experiment, devices: Sequence[str], threads: int) -> tuple[Table, str]:
    """A row for each dataset and arm, and how long all runs that are left will take.

    Each of `devices`, which may repeat, has a process of `threads` threads, and the processes share
    the runs. Their speed is measured once for each image size that is left. A run or grid that was
    begun counts as if it were new; the report and other test sets are not counted.
    """
    unscored = experiment.left()
    left = [job for job in unscored if not job.is_trained()]
    speeds: dict[tuple[int, int], Speed] = {}  # by image size
    for job in left:
        if job.size not in speeds:
            speeds[job.size] = measure(job, devices, threads)
    shown = _table(experiment, left, speeds)
    if not left:
        what = f"trained; {len(unscored)} are left to score elsewhere" if unscored else "complete"
        return shown, f"All {len(experiment.jobs)} runs are {what}."
    processes = len(devices)
    rates = ", ".join(
        f"{height}×{width} px: training {each.training:,.0f}, scoring {each.scoring:,.0f} images/s"
        for (height, width), each in speeds.items()
    )
    many = f" with {processes} processes" if processes > 1 else ""
    return shown, (
        f"{len(left)} of {len(experiment.jobs)} runs are left; they take about"
        f" {_duration(_seconds(left, speeds, processes))}{many} ({rates} each)."
    )


def _table(
    experiment: Experiment,
    left: Sequence[RunJob],
    speeds: dict[tuple[int, int], Speed],
) -> Table:
    table = Table("dataset", "arm", "runs", "left", "images a run", "minutes a run")
    for column in table.columns[2:]:
        column.justify = "right"
    groups: dict[tuple[str, str], list[RunJob]] = {}
    for job in experiment.jobs:
        groups.setdefault((job.dataset, job.arm_title), []).append(job)
    for (dataset, arm), group in groups.items():
        job = group[0]
        table.add_row(
            dataset,
            arm,
            str(len(group)),
            str(sum(one in left for one in group)),
            f"{job.images:,}",
            f"{speeds[job.size].run(job) / 60:.1f}" if job.size in speeds else "",
        )
    return table


def _seconds(left: Sequence[RunJob], speeds: dict[tuple[int, int], Speed], processes: int) -> float:
    """Seconds until the last run ends; all processes share a grid before its other seeds."""
    grids = [job for job in left if job.grid is not None and job.first]
    runs = [speeds[job.size].run(job) for job in left if job not in grids]
    searching = sum(speeds[job.size].grid(job, processes) for job in grids)
    return searching + makespan(runs, processes)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} seconds"
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
