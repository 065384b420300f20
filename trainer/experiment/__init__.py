"""Manifests, arms and seeds → a run for each, and the report that compares them.

    out/gan10/gan-seed0/       a run of xtrain fit, one folder each
    out/gan10/gan-grid/        the grid of an arm (--grid); its best point is the first seed's run
    out/report/                the comparison, written once the last run is complete
    out/job-HOST-PID-N.log     messages of the processes of --jobs

Any number of processes, on every machine that sees `out`, share the runs: the process that trains a
run holds the lock in its folder. The run of a dead process is resumed by the next one.
"""

from trainer.experiment.dry_run import estimate
from trainer.experiment.jobs import Experiment, RunJob
from trainer.experiment.local_workers import devices, run_local_workers
from trainer.experiment.planning import plan
from trainer.experiment.work import work

__all__ = [
    "Experiment",
    "RunJob",
    "devices",
    "estimate",
    "plan",
    "run_local_workers",
    "work",
]
