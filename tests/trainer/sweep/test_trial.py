import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.contract import CheckError, UsageError
from trainer.sweep import Trial, load_sweep, save, winner


def test_winner_is_the_best_on_validation_and_the_first_among_equals(
    tmp_path: Path, run: Callable[..., tuple[Trial, ...]]
) -> None:
    trials = run(tmp_path)
    assert winner(trials).val_auc == max(trial.val_auc or 0 for trial in trials)
    equal = [replace(trial, val_auc=0.7) for trial in trials]
    assert winner(equal) is equal[0]


def test_where_all_failed_there_is_no_winner(
    tmp_path: Path, run: Callable[..., tuple[Trial, ...]]
) -> None:
    trials = [replace(trial, val_auc=None, failed="No.") for trial in run(tmp_path)]
    with pytest.raises(UsageError, match=r"All 8 points of the sweep failed, .*: No\."):
        winner(trials)


def test_a_saved_sweep_is_read_again(tmp_path: Path, run: Callable[..., tuple[Trial, ...]]) -> None:
    with pytest.raises(CheckError, match=r"sweep\.json"):
        load_sweep(tmp_path)
    trials = run(tmp_path)
    save(trials, tmp_path, time.sleep)
    result = load_sweep(tmp_path)
    assert result.points == trials
    assert result.best == winner(trials).folder
    path = tmp_path / "sweep.json"
    path.write_text(path.read_text().replace('"batch": 2', '"batch": "2"'))
    with pytest.raises(CheckError, match=r"sweep\.json is refused: .*batch"):
        load_sweep(tmp_path)
