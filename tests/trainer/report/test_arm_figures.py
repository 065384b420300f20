import math
from pathlib import Path

import numpy as np
import pytest

from trainer.evaluate.inference import Estimate
from trainer.report.arm_figures import finite, missing, numbers
from trainer.report.comparison_report import Report
from trainer.report.finding import find_runs
from trainer.report.results import AucEstimate


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([1, 1, 0, -1], None),
        ([0, 0, -1], "no test image is positive"),
        ([1, 0, 0, -1], "there is only 1 positive in test and 2 are needed"),
        ([1, 1, -1], "no test image is negative"),
    ],
)
def test_why_there_is_no_figure(labels: list[int], why: str | None) -> None:
    assert missing(np.array(labels, np.int8), 2) == why
    if why and "only 1" in why:
        assert missing(np.array([1, 1, 0]), 3) == (
            "there are only 2 positives in test and 3 are needed"
        )


def test_json_has_no_nan() -> None:
    assert (finite(math.nan), finite(math.inf), finite(0.5)) == (None, None, 0.5)
    found = Estimate(
        value=1.0, low=math.nan, high=math.nan, p=0.5, error=0.0, seed_share=0.0, degrees=4.0
    )
    assert numbers(found) == AucEstimate(
        value=1.0, low=None, high=None, error=0.0, degrees=4.0, seed_share=0.0
    )


def test_an_arm_is_the_mean_of_its_runs(report: Report, run_folders: Path) -> None:
    arm = next(arm for arm in report.datasets[0].arms if arm.title == "gan")
    assert [run.folder for run in arm.runs] == [
        str(folder) for folder in find_runs([run_folders / "gan1"]) if "gan-" in folder.name
    ]
    assert arm.last.train_loss == pytest.approx(0.5 / 3)
    assert arm.last.gap == arm.last.val_loss - arm.last.train_loss
    lesion = arm.pathologies["Lung Lesion"]
    assert lesion.auc
    assert lesion.auc.value == pytest.approx(np.mean(lesion.auc_of_seeds))
    assert len(lesion.auc_of_seeds) == 3
    known = report.datasets[0].positives["Lung Lesion"]
    images = sum(part.images for part in lesion.reliability)
    assert images == 3 * (known.positives + known.negatives)
    assert len(lesion.roc) == 101
