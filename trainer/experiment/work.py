"""The runs of the experiment, one after the other."""

import shlex
import sys
from dataclasses import replace

from builder.contract import CheckError, Refusal, UsageError
from builder.contract.lock import hold
from trainer.experiment.jobs import Job, Paper
from trainer.sweep import GRID
from trainer.train import sweep, train


def work(paper: Paper) -> bool:
    """Whether every run is complete; False where other processes still have the rest in hand.

    What was interrupted is gone on with. A run that fails does not keep the others from theirs;
    CheckError names it at the end. A signal ends this process after everything was saved.
    """
    failed: dict[str, str] = {}
    took = True
    while took:
        left = [job for job in paper.left() if job.title not in failed]
        took = False
        for number, job in enumerate(left, len(paper.jobs) - len(left) + 1):
            try:
                took |= _take(job, f"[{number}/{len(paper.jobs)}] {job.title}")
            except Refusal as error:
                failed[job.title] = str(error)
                _say(f"{job.title} failed: {error}")
    still = {job.title for job in paper.left()}  # others may have made up for it
    failed = {title: why for title, why in failed.items() if title in still}
    if failed:
        title, reason = next(iter(failed.items()))
        some = len(still) < len(paper.jobs)
        hint = f" (xtrain report {shlex.quote(str(paper.out))} compares what is complete)"
        raise CheckError(
            f"{len(failed)} of {len(paper.jobs)} runs failed{hint * some}, the first of them"
            f" {title}: {reason}"
        )
    return not still


def _take(job: Job, line: str) -> bool:
    """Whether the run was free; if so, it is now complete."""
    if job.grid is not None and job.first:
        if job.complete():
            return False
        _say(f"{line}: the grid")
        sweep(replace(job.config, out=job.grid), GRID, None)  # processes share its points
        return True
    config = job.chosen()
    if config is None:  # the first seed came before this one, and failed
        raise UsageError(f"The arm's grid in {job.grid} has no best point.")
    with hold(config.out, wait=None) as held:
        if held and not job.complete():
            _say(line)
            train(config)
            return True
    return False


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
