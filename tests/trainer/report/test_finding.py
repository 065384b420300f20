"""Runs in folders: complete ones, and those that were begun and not finished."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import UsageError
from trainer.report.build_report import build_report
from trainer.report.finding import find_runs, unfinished

Writer = Callable[..., Path]


def test_each_run_is_found_once(run_folders: Path) -> None:
    folders = find_runs([run_folders, run_folders / "gan1", run_folders / "gan1" / "gan-seed0"])
    assert len(folders) == 18
    with pytest.raises(UsageError, match="holds no complete run"):
        find_runs([run_folders / "gan1", run_folders.parent / "nothing"])


def test_what_is_not_finished_is_said(run_writer: Writer, tmp_path: Path) -> None:
    for seed in (0, 1):
        run_writer(tmp_path, "none", seed)
        begun = run_writer(tmp_path, "gan", seed)
    (begun / "predictions.parquet").unlink()
    (begun / "last.pt").touch()
    report = build_report([tmp_path], min_positives=10, command="")
    assert report.notes[0] == f"not finished and left out: {begun}."
    with pytest.raises(UsageError, match=r"seed1 must first be finished with xtrain fit --resume"):
        find_runs([begun])


def test_points_of_a_sweep_are_not_unfinished(run_writer: Writer, tmp_path: Path) -> None:
    begun = run_writer(tmp_path, "gan", 0)
    (begun / "predictions.parquet").unlink()
    (begun / "last.pt").touch()
    assert unfinished([tmp_path, begun]) == (begun,)
    (begun.parent / "sweep.json").touch()
    assert unfinished([tmp_path, begun]) == ()
    shutil.rmtree(begun)
    assert unfinished([tmp_path]) == ()
