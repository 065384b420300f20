"""How long the experiment will take, as a table and a sentence."""

from rich.table import Table

from trainer.paper.pace import Pace, makespan, measure
from trainer.paper.runs import Job, Paper


def estimate(paper: Paper, jobs: int, threads: int) -> tuple[Table, str]:
    """A row per dataset and arm, and how long the runs that are left take together.

    `jobs` processes of `threads` threads share the runs; their pace is measured once for each image
    size. A run that was begun counts whole.
    """
    left = paper.left()
    paces: dict[tuple[int, int], Pace] = {}
    for job in paper.jobs:
        if job.size not in paces:
            paces[job.size] = measure(job, jobs, threads)
    shown = Table("dataset", "arm", "runs", "left", "images a run", "minutes a run")
    for column in shown.columns[2:]:
        column.justify = "right"
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in paper.jobs:
        groups.setdefault((job.dataset, job.arm), []).append(job)
    for (dataset, arm), group in groups.items():
        job = group[-1]  # with a grid the first one is all of its points
        shown.add_row(
            dataset,
            arm,
            str(len(group)),
            str(sum(one in left for one in group)),
            f"{job.images * job.config.recipe.epochs:,}",
            f"{paces[job.size].seconds(job) / 60:.1f}",
        )
    seconds = makespan([paces[job.size].seconds(job) for job in left], jobs)
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
