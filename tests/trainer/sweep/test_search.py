from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from builder.contract import CheckError, UsageError
from builder.contract.lock import LOCK
from trainer.fit.control import Stopped
from trainer.recipe import Recipe
from trainer.sweep import GRID, Fitted, Grid, Point, Trial, winner

Run = Callable[..., tuple[Trial, ...]]
Count = Callable[[Path], Counter[str]]


def test_every_point_of_the_papers_grid_once_and_in_order(
    tmp_path: Path, run: Run, trained: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = run(tmp_path, grid=GRID)
    assert len(trials) == len({trial.folder for trial in trials}) == 18
    assert trials[0].params == Point(lr=0.01, batch=16, optimizer="momentum")
    assert trials[0].folder == "lr0.01-batch16-momentum"
    assert trials[-1].folder == "lr0.001-batch64-adam"
    assert set(trained(tmp_path).values()) == {1}
    assert {trial.best_epoch for trial in trials} <= {1, 2, 3}
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("[1/18] lr ")
    assert "best so far: 0." in lines[17]
    assert run(tmp_path, pytest.fail, grid=GRID) == trials
    assert capsys.readouterr().err == ""


def test_a_point_is_trained_with_its_own_values_and_the_shared_recipe(
    tmp_path: Path, run: Run, toy: Callable[..., Fitted], recipe: Recipe
) -> None:
    seen: dict[str, Recipe] = {}

    def fit(recipe: Recipe, folder: Path) -> Fitted:
        seen[folder.name] = recipe
        return toy(recipe, folder)

    trials = run(tmp_path, fit, recipe=recipe)
    assert seen == {trial.folder: trial.params.apply(recipe) for trial in trials}


def test_a_point_whose_loss_diverges_fails_and_the_sweep_goes_on(
    tmp_path: Path, run: Run, toy: Callable[..., Fitted]
) -> None:
    def fit(recipe: Recipe, folder: Path) -> Fitted:
        if recipe.lr == 0.1:
            raise UsageError("The loss is not finite.")
        found = toy(recipe, folder)
        return replace(found, val_auc=float("nan")) if recipe.batch == 2 else found

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
    tmp_path: Path,
    run: Run,
    toy: Callable[..., Fitted],
    study: Callable[[Path], optuna.Study],
    error: BaseException,
) -> None:
    begun: list[str] = []

    def fit(recipe: Recipe, folder: Path) -> Fitted:
        begun.append(folder.name)
        if len(begun) == 3:
            raise error
        return toy(recipe, folder)

    with pytest.raises(type(error)):
        run(tmp_path, fit)
    states = [trial.state for trial in study(tmp_path).trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING]
    trials = run(tmp_path, fit)
    assert begun[3] == begun[2]  # the interrupted one is resumed first
    assert trials == run(tmp_path / "unbroken")
    assert [trial.state for trial in study(tmp_path).trials] == [TrialState.COMPLETE] * 8


def test_a_point_marked_as_failed_by_hand_stays_failed(
    tmp_path: Path, run: Run, study: Callable[[Path], optuna.Study], lone: Grid
) -> None:
    def interrupted(*_: object) -> Fitted:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupted, grid=lone)
    study(tmp_path).tell(0, state=TrialState.FAIL)
    (trial,) = run(tmp_path, pytest.fail, grid=lone)
    assert (trial.val_auc, trial.failed) == (None, "It was marked as failed by hand.")


def test_a_process_that_died_while_optuna_gave_it_a_point_costs_nothing(
    tmp_path: Path,
    run: Run,
    trained: Count,
    study: Callable[[Path], optuna.Study],
    small: Grid,
) -> None:
    def fit(*_: object) -> Fitted:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, fit)
    left = study(tmp_path)
    left.ask()  # no parameters yet
    left.ask(
        {
            "lr": CategoricalDistribution(small.lr),
            "batch": CategoricalDistribution(small.batch),
            "optimizer": CategoricalDistribution(small.optimizer),
        }
    )  # no lock
    left._storage.create_new_trial(left._study_id)  # not even the number of a point
    assert run(tmp_path) == run(tmp_path / "unbroken")
    assert set(trained(tmp_path).values()) == {1}


def test_values_twice_are_refused_before_anything_is_written(
    tmp_path: Path, run: Run, small: Grid
) -> None:
    with pytest.raises(UsageError, match="a value twice"):
        run(tmp_path / "out", pytest.fail, grid=replace(small, lr=(0.1, 0.1)))
    assert not (tmp_path / "out").exists()


def test_the_lock_of_a_point_is_in_its_folder(tmp_path: Path, run: Run) -> None:
    assert all((tmp_path / trial.folder / LOCK).is_file() for trial in run(tmp_path))
