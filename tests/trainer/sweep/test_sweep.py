import csv
import hashlib
import io
import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from PIL import Image

from builder.contract import CheckError, UsageError, write_last
from builder.contract.lock import LOCK
from trainer.fit.control import Stopped
from trainer.sweep import GRID, Fitted, Trial, markdown, picture, save, search, winner

SMALL = {"lr": (0.1, 0.01), "batch": (2, 4), "optimizer": ("momentum", "adam")}
EPOCHS = 3
KILLS = 6
FORK = multiprocessing.get_context("fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks")


def toy(params: dict[str, Any], folder: Path, *, nap: float = 0.0) -> Fitted:
    """Three epochs that a killed run goes on with; each leaves a line in the log of all."""
    count = folder / "epochs"
    for epoch in range(int(count.read_text()) if count.is_file() else 0, EPOCHS):
        time.sleep(nap)
        with (folder.parent / "log").open("a") as log:
            log.write(f"{folder.name} {epoch} {os.getpid()}\n")
        write_last(count, str(epoch + 1).encode())
    word = hashlib.sha256(repr(params).encode()).digest()
    return Fitted(val_auc=0.5 + word[0] / 600, best_epoch=1 + word[1] % EPOCHS, seconds=1.5)


def run(out: Path, fit: Callable[..., Fitted] = toy, **changes: Any) -> tuple[Trial, ...]:
    facts = {"grid": SMALL, "storage": None, "identity": {"manifest": "aa", "epochs": 3}, "seed": 1}
    return search(fit, out=out, **({"pause": lambda _: time.sleep(0.02)} | facts | changes))


def trained(out: Path) -> Counter[str]:
    """How often each epoch of each point was trained."""
    return Counter(line.rpartition(" ")[0] for line in (out / "log").read_text().splitlines())


def study(out: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(out / "sweep.journal")))
    sampler = optuna.samplers.GridSampler(SMALL, seed=1)
    return optuna.load_study(study_name="sweep", storage=storage, sampler=sampler)


def in_process(target: Callable[[], Any]) -> multiprocessing.process.BaseProcess:
    process = FORK.Process(target=target)
    process.start()
    return process


def test_every_point_of_the_papers_grid_once_and_in_order(tmp_path: Path, capsys: Any):
    trials = run(tmp_path, grid=GRID)
    assert len(trials) == len({trial.folder for trial in trials}) == 18
    assert trials[0].params == {"lr": 0.01, "batch": 16, "optimizer": "momentum"}
    assert trials[0].folder == "lr0.01-batch16-momentum"
    assert trials[-1].folder == "lr0.001-batch64-adam"
    assert set(trained(tmp_path).values()) == {1}
    assert {trial.best_epoch for trial in trials} <= {1, 2, 3}
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("[1/18] lr ")
    assert "best so far: 0." in lines[17]
    assert run(tmp_path, pytest.fail, grid=GRID) == trials
    assert capsys.readouterr().err == ""


def test_winner_is_the_best_on_validation_and_the_first_among_equals(tmp_path: Path):
    trials = run(tmp_path)
    assert winner(trials).val_auc == max(trial.val_auc or 0 for trial in trials)
    equal = [replace(trial, val_auc=0.7) for trial in trials]
    assert winner(equal) is equal[0]


def test_a_point_whose_loss_diverges_fails_and_the_sweep_goes_on(tmp_path: Path):
    def fit(params: dict[str, Any], folder: Path) -> Fitted:
        if params["lr"] == 0.1:
            raise UsageError("The loss is not finite.")
        found = toy(params, folder)
        return replace(found, val_auc=float("nan")) if params["batch"] == 2 else found

    trials = run(tmp_path, fit)
    failed = [trial.failed for trial in trials if trial.val_auc is None]
    assert failed == ["The loss is not finite."] * 4 + ["The validation AUC is not a number."] * 2
    assert all(trial.val_auc and not trial.failed for trial in trials[6:])
    assert run(tmp_path, pytest.fail) == trials
    with pytest.raises(UsageError, match=r"All 4 points of the sweep failed, .*: The loss"):
        winner(trials[:4])


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), Stopped("now", 15), CheckError("now"), OSError("now")], ids=repr
)
def test_what_is_not_the_points_fault_ends_the_sweep_and_fails_no_point(
    tmp_path: Path, error: BaseException
):
    begun = []

    def fit(params: dict[str, Any], folder: Path) -> Fitted:
        begun.append(folder.name)
        if len(begun) == 3:
            raise error
        return toy(params, folder)

    with pytest.raises(type(error)):
        run(tmp_path, fit)
    states = [trial.state for trial in study(tmp_path).trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING]
    trials = run(tmp_path, fit)
    assert begun[3] == begun[2]  # the interrupted one goes on first
    assert trials == run(tmp_path / "unbroken")
    assert [trial.state for trial in study(tmp_path).trials] == [TrialState.COMPLETE] * 8


@pytest.mark.filterwarnings("ignore:.*grace_period")
def test_killed_at_any_moment_it_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
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


def test_a_process_that_died_while_optuna_gave_it_a_point_costs_nothing(tmp_path: Path):
    def fit(*_: Any) -> Fitted:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, fit)
    left = study(tmp_path)
    left.ask()  # no parameters yet
    left.ask({name: CategoricalDistribution(values) for name, values in SMALL.items()})  # no lock
    left._storage.create_new_trial(left._study_id)  # not even the number of a point
    assert run(tmp_path) == run(tmp_path / "unbroken")
    assert set(trained(tmp_path).values()) == {1}


@pytest.mark.parametrize("database", [False, True], ids=["journal", "sqlite"])
def test_two_processes_share_the_points(tmp_path: Path, database: bool):
    storage = f"sqlite:///{tmp_path}/sweep.db" if database else None

    def fit(params: dict[str, Any], folder: Path) -> Fitted:
        (tmp_path / f"here-{os.getpid()}").touch()
        end = time.monotonic() + 60
        while len(list(tmp_path.glob("here-*"))) < 2 and time.monotonic() < end:
            time.sleep(0.01)  # or one might do it all before the other has come
        return toy(params, folder, nap=0.02)

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
    tmp_path: Path, capsys: Any
):
    grid = {"lr": (0.1,), "batch": (2,), "optimizer": ("adam",)}
    process = in_process(lambda: run(tmp_path, partial(toy, nap=0.2), grid=grid))
    while not (tmp_path / "log").exists():
        time.sleep(0.01)
    trials = run(tmp_path, pytest.fail, grid=grid)
    process.join()
    waiting = "Waiting for other processes to finish lr0.1-batch2-adam.\n"
    assert capsys.readouterr().err == waiting
    assert [trial.folder for trial in trials] == ["lr0.1-batch2-adam"]


def test_the_wait_for_others_can_be_ended(tmp_path: Path):
    grid = {"lr": (0.1,), "batch": (2,), "optimizer": ("adam",)}

    def stop(_: float) -> None:
        raise Stopped("now", 15)

    def fit(*_: Any) -> Fitted:
        with ThreadPoolExecutor(1) as other:  # has no lock of this thread's
            other.submit(run, tmp_path, pytest.fail, grid=grid, pause=stop).result()
        raise AssertionError

    with pytest.raises(Stopped):
        run(tmp_path, fit, grid=grid)


def test_a_killed_owner_is_succeeded_by_the_one_who_waits(tmp_path: Path):
    grid = {"lr": (0.1,), "batch": (2,), "optimizer": ("adam",)}
    process = in_process(lambda: run(tmp_path, partial(toy, nap=0.3), grid=grid))

    def kill(_: float) -> None:
        process.kill()
        process.join()

    while not list(tmp_path.glob("*/epochs")):
        time.sleep(0.01)
    assert run(tmp_path, grid=grid, pause=kill)[0].val_auc
    assert process.exitcode == -signal.SIGKILL
    assert set(trained(tmp_path).values()) == {1}


def test_machines_without_a_shared_disk_leave_each_others_points_alone(tmp_path: Path):
    storage = f"sqlite:///{tmp_path}/sweep.db"
    mine, other = tmp_path / "mine/sweep", tmp_path / "other/sweep"

    def fit(params: dict[str, Any], folder: Path) -> Fitted:
        if len(list(mine.glob("*/epochs"))) == 2:
            assert len(run(other, storage=storage)) == 8
        return toy(params, folder)

    trials = run(mine, fit, storage=storage)
    assert trials == run(tmp_path / "unbroken")
    assert len(trained(mine)) == 3 * EPOCHS
    assert len(trained(other)) == 6 * EPOCHS  # the one that was running too, at the end


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"identity": {"manifest": "bb", "epochs": 3}}, 'begun with manifest "aa", now it is "bb"'),
        ({"identity": {"manifest": "aa", "epochs": 5}}, "begun with epochs 3, now it is 5"),
        ({"identity": {"manifest": "aa"}}, "begun with epochs 3, now it is None"),
        ({"grid": SMALL | {"lr": (0.1,)}}, r"grid lr \[0.1, 0.01\], now it is \[0.1\]"),
        ({"seed": 2**40}, "begun with seed 1, now it is 1099511627776"),
    ],
)
def test_another_sweep_is_refused(tmp_path: Path, changes: dict[str, Any], words: str):
    run(tmp_path)
    with pytest.raises(UsageError, match=words):
        run(tmp_path, pytest.fail, **changes)


def test_a_strangers_study_is_refused(tmp_path: Path):
    storage = f"sqlite:///{tmp_path}/sweep.db"
    optuna.create_study(storage=storage, study_name=tmp_path.name).ask()
    with pytest.raises(UsageError, match="was begun with manifest None"):
        run(tmp_path, pytest.fail, storage=storage)


def test_values_twice_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="a value twice"):
        run(tmp_path, pytest.fail, grid=SMALL | {"lr": (0.1, 0.1)})


@pytest.mark.parametrize(
    "storage", ["nonsense", "sqlite:////nowhere/at/all.db", "postgresql+no://me:secret@localhost/x"]
)
def test_a_database_that_does_not_open_is_one_sentence(tmp_path: Path, storage: str):
    with pytest.raises(UsageError, match="storage") as caught:
        run(tmp_path, pytest.fail, storage=storage)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_journal_with_half_a_last_line_is_mended(tmp_path: Path, cut: int):
    trials = run(tmp_path)
    journal = tmp_path / "sweep.journal"
    *_, last = journal.read_bytes().splitlines(keepends=True)
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size - min(cut, len(last) - 1))
    assert run(tmp_path) == trials
    assert set(trained(tmp_path).values()) == {1}
    assert run(tmp_path, pytest.fail) == trials


def test_half_a_line_of_a_process_killed_meanwhile_is_mended(tmp_path: Path):
    def fit(params: dict[str, Any], folder: Path) -> Fitted:
        with (tmp_path / "sweep.journal").open("ab") as file:
            file.write(b'{"op_code":5,"worker')
        return toy(params, folder)

    assert run(tmp_path, fit) == run(tmp_path / "unbroken")
    assert b'"worker{' not in (tmp_path / "sweep.journal").read_bytes()


@pytest.mark.parametrize("line", [b"\0\0\0\n", b"{}\n", b"[]\n", b'{"op_code":99}\n', b"\xff\n"])
@pytest.mark.parametrize("at_end", [False, True])
def test_a_damaged_journal_is_refused_and_may_be_deleted(tmp_path: Path, line: bytes, at_end: bool):
    trials, journal = run(tmp_path), tmp_path / "sweep.journal"
    text = journal.read_bytes()
    journal.write_bytes(text + line if at_end else line + text)
    with pytest.raises(CheckError, match="delete it and repeat"):
        run(tmp_path, pytest.fail)
    journal.unlink()
    assert run(tmp_path) == trials
    assert set(trained(tmp_path).values()) == {1}


def test_tables_hold_every_point(tmp_path: Path):
    trials = run(tmp_path)
    trials = (replace(trials[0], val_auc=None, best_epoch=None, failed="a | b"), *trials[1:])
    save(trials, tmp_path, time.sleep)
    facts = json.loads((tmp_path / "sweep.json").read_bytes())
    assert facts["best"] == winner(trials).folder
    assert [Trial(**point) for point in facts["points"]] == list(trials)
    rows = list(csv.DictReader((tmp_path / "sweep.csv").read_text().splitlines()))
    assert [row["failed"] for row in rows] == ["a | b"] + [""] * 7
    assert float(rows[1]["val_auc"]) == trials[1].val_auc
    table = (tmp_path / "sweep.md").read_text().splitlines()
    assert table[2] == "| 0.1 | 2 | momentum | failed: a \\| b |  |  | `lr0.1-batch2-momentum` |"
    bold = [line for line in table if "**" in line]
    assert len(bold) == 1
    assert f"**{winner(trials).val_auc:.4f}**" in bold[0]
    assert (tmp_path / "sweep.png").read_bytes() == picture(trials)


def test_where_all_failed_the_tables_still_say_why(tmp_path: Path):
    trials = [
        Trial(params=trial.params, folder=trial.folder, failed="No.") for trial in run(tmp_path)
    ]
    save(trials, tmp_path, time.sleep)
    assert json.loads((tmp_path / "sweep.json").read_bytes())["best"] is None
    assert markdown(trials).count("failed: No.") == 8


def test_picture_shows_the_results(tmp_path: Path):
    trials = run(tmp_path)
    best, *others = sorted(trials, key=lambda trial: trial is not winner(trials))
    assert picture(trials) == picture(trials)
    changed = [
        [replace(trials[0], val_auc=0.51), *trials[1:]],
        [replace(trials[0], val_auc=None, failed="No."), *trials[1:]],
        [replace(best, val_auc=0.0), *others],
    ]
    images = {picture(each) for each in [trials, *changed]}
    assert len(images) == 4
    for image in images:
        assert Image.open(io.BytesIO(image)).size == (1470, 660)


def test_the_lock_of_a_point_is_in_its_folder(tmp_path: Path):
    assert all((tmp_path / trial.folder / LOCK).is_file() for trial in run(tmp_path))
