"""Several processes that search one grid, and processes that are killed."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from trainer.fit.control import Stopped
from trainer.recipe import Recipe
from trainer.sweep import Fitted, Grid, Trial, save

EPOCHS = 3
KILLS = 6
Run = Callable[..., tuple[Trial, ...]]
Toy = Callable[..., Fitted]
Count = Callable[[Path], Counter[str]]
Start = Callable[[Callable[[], object]], BaseProcess]
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks")


@pytest.mark.filterwarnings("ignore:.*grace_period")
def test_killed_at_any_moment_it_is_resumed_to_the_same_end(
    tmp_path: Path,
    run: Run,
    toy: Toy,
    trained: Count,
    in_process: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.sweep.study.GRACE", 1)  # a kill may leave the lock of the journal
    out, dice = tmp_path / "killed", random.Random(5)
    for _ in range(KILLS):
        process = in_process(lambda: run(out, partial(toy, nap=0.08)))
        process.join(dice.uniform(0.05, 0.25))
        assert process.exitcode is None
        process.kill()
        process.join()
    run(out)
    trials = run(out, pytest.fail)
    assert trials == run(tmp_path / "unbroken")
    assert trained(out).keys() == trained(tmp_path / "unbroken").keys()
    assert trained(out).total() - len(trained(out)) <= KILLS  # each loses at most an epoch


@pytest.mark.parametrize("database", [False, True], ids=["journal", "sqlite"])
def test_two_processes_share_the_points(
    tmp_path: Path, run: Run, toy: Toy, trained: Count, in_process: Start, database: bool
) -> None:
    storage = f"sqlite:///{tmp_path}/sweep.db" if database else None

    def fit(recipe: Recipe, folder: Path) -> Fitted:
        (tmp_path / f"here-{os.getpid()}").touch()
        end = time.monotonic() + 60
        while len(list(tmp_path.glob("here-*"))) < 2 and time.monotonic() < end:
            time.sleep(0.01)  # otherwise one might do all of it before the other has come
        return toy(recipe, folder, nap=0.02)

    def work(number: int) -> None:
        trials = run(tmp_path, fit, storage=storage)
        save(trials, tmp_path, time.sleep)
        (tmp_path / f"result{number}").write_text(repr(trials))

    processes = [in_process(partial(work, number)) for number in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "result0").read_text() == (tmp_path / "result1").read_text()
    assert len(trained(tmp_path)) == 8 * EPOCHS
    assert set(trained(tmp_path).values()) == {1}
    assert {line.split()[2] for line in (tmp_path / "log").read_text().splitlines()} == {
        str(process.pid) for process in processes
    }
    assert run(tmp_path, pytest.fail, storage=storage) == run(tmp_path / "unbroken")


def test_an_idle_process_waits_for_the_points_of_others_and_trains_none(
    tmp_path: Path,
    run: Run,
    toy: Toy,
    in_process: Start,
    lone: Grid,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = in_process(lambda: run(tmp_path, partial(toy, nap=0.2), grid=lone))
    while not (tmp_path / "log").exists():
        time.sleep(0.01)
    trials = run(tmp_path, pytest.fail, grid=lone)
    process.join()
    waiting = "Waiting for other processes to finish lr0.1-batch2-adam.\n"
    assert capsys.readouterr().err == waiting
    assert [trial.folder for trial in trials] == ["lr0.1-batch2-adam"]


def test_the_wait_for_others_can_be_ended(tmp_path: Path, run: Run, lone: Grid) -> None:
    def stop(_: float) -> None:
        raise Stopped("now", 15)

    def fit(*_: object) -> Fitted:
        with ThreadPoolExecutor(1) as other:  # does not hold the lock of this thread
            other.submit(run, tmp_path, pytest.fail, grid=lone, pause=stop).result()
        raise AssertionError

    with pytest.raises(Stopped):
        run(tmp_path, fit, grid=lone)


def test_a_killed_owner_is_succeeded_by_the_one_who_waits(
    tmp_path: Path, run: Run, toy: Toy, trained: Count, in_process: Start, lone: Grid
) -> None:
    process = in_process(lambda: run(tmp_path, partial(toy, nap=0.3), grid=lone))

    def kill(_: float) -> None:
        process.kill()
        process.join()

    while not list(tmp_path.glob("*/epochs")):
        time.sleep(0.01)
    assert run(tmp_path, grid=lone, pause=kill)[0].val_auc
    assert process.exitcode == -signal.SIGKILL
    assert set(trained(tmp_path).values()) == {1}


def test_machines_without_a_shared_disk_leave_each_others_points_alone(
    tmp_path: Path, run: Run, toy: Toy, trained: Count
) -> None:
    storage = f"sqlite:///{tmp_path}/sweep.db"
    mine, other = tmp_path / "mine/sweep", tmp_path / "other/sweep"

    def fit(recipe: Recipe, folder: Path) -> Fitted:
        if len(list(mine.glob("*/epochs"))) == 2:
            assert len(run(other, storage=storage)) == 8
        return toy(recipe, folder)

    trials = run(mine, fit, storage=storage)
    assert trials == run(tmp_path / "unbroken")
    assert len(trained(mine)) == 3 * EPOCHS
    assert len(trained(other)) == 6 * EPOCHS  # the one that was running too, at the end
