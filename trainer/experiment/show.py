"""How long the experiment will take, as a table and a sentence."""

from collections.abc import Sequence

from rich.table import Table

from trainer.experiment.jobs import Job, Paper
from trainer.experiment.time_estimate import TimeEstimate, makespan, measure


def estimate(paper: Paper, devices: Sequence[str], threads: int) -> tuple[Table, str]:
    """A row per dataset and arm, and how long the runs that are left take together.

    A process of `threads` threads on each of `devices`, which may repeat, shares in the runs; their
    pace is measured once for each image size that is left. A run or grid that was begun counts
    whole; the report is not counted.
    """
    left, jobs = paper.left(), len(devices)
    paces: dict[tuple[int, int], TimeEstimate] = {}
    for job in left:
        if job.size not in paces:
            paces[job.size] = measure(job, devices, threads)
    shown = Table("dataset", "arm", "runs", "left", "images a run", "minutes a run")
    for column in shown.columns[2:]:
        column.justify = "right"
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in paper.jobs:
        groups.setdefault((job.dataset, job.arm), []).append(job)
    for (dataset, arm), group in groups.items():
        job = group[0]
        shown.add_row(
            dataset,
            arm,
            str(len(group)),
            str(sum(one in left for one in group)),
            f"{job.images:,}",
            f"{paces[job.size].run(job) / 60:.1f}" if job.size in paces else "",
        )
    if not left:
        return shown, f"All {len(paper.jobs)} runs are complete."
    grids = [job for job in left if job.grid is not None and job.first]
    runs = [paces[job.size].run(job) for job in left if job not in grids]
    seconds = sum(paces[job.size].grid(job, jobs) for job in grids) + makespan(runs, jobs)
    rates = ", ".join(
        f"{height}×{width} px: training {pace.training:,.0f}, scoring {pace.scoring:,.0f} images/s"
        for (height, width), pace in paces.items()
    )
    many = f" with {jobs} processes" if jobs > 1 else ""
    return shown, (
        f"{len(left)} of {len(paper.jobs)} runs are left; they take about {_words(seconds)}{many}"
        f" ({rates} each)."
    )


def _words(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} seconds"
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
