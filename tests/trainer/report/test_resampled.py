from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainer.evaluate.bootstrap import RESAMPLES
from trainer.report.finding import find_runs
from trainer.report.load import load_run
from trainer.report.resampled import Resampled, effort, subgroups
from trainer.report.studies import Study, studies


@pytest.fixture(scope="module")
def study(run_folders: Path) -> Study:
    """The arm gan alone, with three seeds."""
    (found,) = studies([load_run(folder) for folder in find_runs([run_folders / "gan10"])])
    return found


@pytest.fixture(scope="module")
def resampled(study: Study) -> Resampled:
    return Resampled.of(study, lambda *_: None)


def test_all_seeds_and_pathologies_are_resampled(study: Study, resampled: Resampled) -> None:
    (aucs,) = resampled.aucs
    assert aucs.auc.shape == (3, 4)
    assert aucs.resampled.shape == (3, 4, RESAMPLES)
    assert resampled.names == study.arms[0].runs[0].test.names
    assert resampled.patients.max() + 1 == 300


def test_a_part_has_its_own_patients(resampled: Resampled) -> None:
    rows = np.flatnonzero(resampled.patients < 100)
    part = resampled.part(rows, ["Pleural Other"], lambda *_: None)
    assert part.labels.shape == (len(rows), 1)
    assert {*part.patients} == {*range(100)}
    assert (part.labels[:, 0] == resampled.labels[rows, 2]).all()
    assert (part.scores[0][..., 0] == resampled.scores[0][:, rows, 2]).all()


def test_the_effort_is_what_is_done(study: Study) -> None:
    done = list[int]()

    def advance(count: int, _: float = 0.0) -> None:
        done.append(count)

    whole = Resampled.of(study, advance)
    for group, value in subgroups(study):
        known = study.arms[0].runs[0].test.groups[group]
        whole.part(np.flatnonzero(known == value), study.report.targets, advance)
    assert sum(done) == effort(study) == 3 * (4 + 7 * 3)


def test_without_targets_there_are_no_subgroups(study: Study) -> None:
    without = replace(study, report=replace(study.report, plan=None))
    assert subgroups(without) == []
    assert effort(without) == 3 * 4
