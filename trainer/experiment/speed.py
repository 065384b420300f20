"""How long runs take, from the speed of a few of their steps."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.experiment.jobs import RunJob
from trainer.sweep import GRID


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """The speed of a device with images of one size, and how long runs take at that speed."""

    training: float  # images/s
    scoring: float  # images/s, decoding included
    reading: float  # images/s, decoding alone
    start: float  # seconds before a run's first step: network, hashing of the shards
    save: float  # seconds per epoch: checkpoint and weights

    def run(self, job: RunJob) -> float:
        """The seconds that a whole run takes."""
        return self._epochs(job) + self._once(job)

    def grid(self, job: RunJob, processes: int) -> float:
        """The seconds that a grid takes when `processes` processes share its points.

        They wait for its last point. Only the best point is scored on the test images.
        """
        return math.ceil(len(GRID.points()) / processes) * self._epochs(job) + self._once(job)

    def _epochs(self, job: RunJob) -> float:
        between = job.val / self.scoring + self.save
        return job.images / self.training + job.plan.recipe.epochs * between

    def _once(self, job: RunJob) -> float:
        return self.start + job.test / self.reading + (job.val + job.test) / self.scoring


def makespan(seconds: Sequence[float], processes: int) -> float:
    """The seconds until `processes` processes have finished runs that they take in this order."""
    busy = [0.0] * processes
    for each in seconds:
        heapq.heapreplace(busy, busy[0] + each)
    return max(busy)
