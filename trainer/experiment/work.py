"""The runs of the experiment, trained one after the other."""

import shlex
from dataclasses import replace

from builder.contract import CheckError, Refusal, UsageError
from builder.contract.lock import hold
from trainer.config import RunPlan
from trainer.experiment.jobs import Experiment, RunJob
from trainer.progress import say
from trainer.report import load_report
from trainer.sweep import GRID
from trainer.train import score_elsewhere, sweep, train


def work(experiment: Experiment) -> bool:
    """Whether every run is complete; False where other processes are training the rest.

    Interrupted runs are resumed. After a run that fails the others are trained; CheckError names
    the first failure at the end. A signal ends this process once everything is saved.
    """
    total = len(experiment.jobs)
    failed: dict[str, str] = {}  # the reason by the run's title
    took = True
    while took:
        left = [job for job in experiment.left() if job.title not in failed]
        took = False
        for number, job in enumerate(left, total - len(left) + 1):
            try:
                took |= _take(job, f"[{number}/{total}] {job.title}")
            except Refusal as error:
                failed[job.title] = str(error)
                say(f"{job.title} failed: {error}")
    still = {job.title for job in experiment.left()}  # other processes may have completed it
    failed = {title: reason for title, reason in failed.items() if title in still}
    if failed:
        title, reason = next(iter(failed.items()))
        some = len(still) < total
        hint = f" (xtrain report {shlex.quote(str(experiment.out))} compares what is complete)"
        raise CheckError(
            f"{len(failed)} of {total} runs failed{hint * some}, the first of them {title}:"
            f" {reason}"
        )
    return not still


def _take(job: RunJob, line: str) -> bool:
    """Whether the run was free; if so, it is now complete."""
    if job.grid is not None and job.first and not job.is_trained():
        say(f"{line}: the grid")
        found = job.plan.locate()
        sweep(replace(job.plan, out=job.grid), found, GRID, None)  # processes share its points
        load_report(_chosen(job).out)  # a report that cannot be read would be made again for ever
        return True
    plan = _chosen(job)
    with hold(plan.out, wait=None) as held:
        if held and not job.is_complete():
            say(line)
            if job.is_trained():
                score_elsewhere(plan)
            else:
                train(plan, plan.locate())
            load_report(plan.out)
            if not job.is_complete():
                raise CheckError(f"{plan.out}: what was scored there cannot be read back.")
            return True
    return False


def _chosen(job: RunJob) -> RunPlan:
    plan = job.chosen()
    if plan is None:  # the grid of the first seed has failed
        raise UsageError(f"The arm's grid in {job.grid} has no best point.")
    return plan
