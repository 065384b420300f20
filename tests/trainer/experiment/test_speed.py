from collections.abc import Callable
from dataclasses import replace

import pytest

from trainer.experiment import Experiment
from trainer.experiment.speed import Speed, makespan


def test_seconds_are_those_of_epochs_and_of_what_comes_once(
    planned: Callable[..., Experiment],
) -> None:
    speed = Speed(training=10, scoring=100, reading=1000, start=2, save=3)
    job = replace(planned(epochs=2).jobs[0], images=100, val=200, test=1000)
    epochs, once = 100 / 10 + 2 * (200 / 100 + 3), 2 + 1000 / 1000 + 1200 / 100
    assert speed.run(job) == pytest.approx(epochs + once)
    assert speed.grid(job, 1) == pytest.approx(18 * epochs + once)
    assert speed.grid(job, 4) == pytest.approx(5 * epochs + once)  # 4 + 4 + 4 + 4 + 2 points


def test_makespan_is_of_runs_taken_up_in_order() -> None:
    assert makespan([], 2) == 0
    assert makespan([3, 1, 1, 1], 1) == 6
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([1, 1, 1, 3], 2) == 4
