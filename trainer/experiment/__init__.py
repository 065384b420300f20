"""The paper's experiment: every regime × arm × seed, and the page that compares them.

    out/gan10/gan-seed0/       a run of xtrain fit, one folder each
    out/gan10/gan-grid/        the arm's grid (--grid); its best point is the run of the first seed
    out/report/                what compares them, by the command that completes the last one
    out/job-HOST-PID-N.log     what the processes of --jobs said

Any number of processes, on every machine that sees `out`, share the runs: who trains one holds the
lock in its folder. One that was left by a dead process is gone on with by the next to come.
"""

from trainer.experiment.jobs import Paper
from trainer.experiment.local_workers import devices, run_local_workers
from trainer.experiment.planning import plan
from trainer.experiment.show import estimate
from trainer.experiment.work import work

__all__ = ["Paper", "devices", "estimate", "plan", "run_local_workers", "work"]
