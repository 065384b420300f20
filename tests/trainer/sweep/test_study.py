from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from builder.contract import CheckError, UsageError
from trainer.recipe import Recipe
from trainer.sweep import Fitted, Grid, Trial
from trainer.sweep.study import agree, identity

Run = Callable[..., tuple[Trial, ...]]
# What the versions recorded of the `recipe` that had no synthetic_weight and no schedule yet.
EARLIER = {
    "manifest": '"aa"',
    "epochs": "3",
    "arm": '"gan"',
    "augment": '"flip"',
    "mix": '"real=1,synthetic=1"',
    "steps": '"equal"',
    "init": '"random"',
    "seed": "0",
    "precision": '"fp32"',
    "accumulate": "1",
    "compile": "false",
    "sync_batchnorm": "false",
    "grid lr": "[0.1, 0.01]",
    "grid batch": "[2, 4]",
    "grid optimizer": '["momentum", "adam"]',
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"digest": "bb"}, 'begun with manifest "aa", now it is "bb"'),
        ({"epochs": 5}, "begun with epochs 3, now it is 5"),
        ({"grid": (0.1,)}, r"grid lr \[0.1, 0.01\], now it is \[0.1\]"),
        ({"network": "resnet18"}, r'begun with network "densenet121", now it is "resnet18"'),
        ({"seed": 2**40}, "begun with seed 1, now it is 1099511627776"),
    ],
)
def test_another_sweep_is_refused(
    tmp_path: Path, run: Run, recipe: Recipe, small: Grid, changes: dict[str, object], words: str
) -> None:
    run(tmp_path)
    other = {"epochs": 3, "seed": 1} | changes
    digest, lrs = other.pop("digest", "aa"), other.pop("grid", small.lr)
    asked = replace(recipe, **other)  # type: ignore[arg-type]
    grid = replace(small, lr=lrs)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=words):
        run(tmp_path, pytest.fail, digest=digest, recipe=asked, grid=grid)


def test_what_the_grid_varies_is_no_part_of_the_identity(
    tmp_path: Path, run: Run, recipe: Recipe
) -> None:
    trials = run(tmp_path)
    other = replace(recipe, seed=1, lr=7.0, batch=99, optimizer="momentum")
    assert run(tmp_path, pytest.fail, recipe=other) == trials


def test_a_fact_that_only_one_of_two_versions_records_is_a_difference(
    tmp_path: Path, study: Callable[[Path], optuna.Study], run: Run, recipe: Recipe, small: Grid
) -> None:
    run(tmp_path)
    facts = identity("aa", replace(recipe, seed=1), small)
    agree(study(tmp_path), facts, tmp_path)
    fewer = {name: text for name, text in facts.items() if name != "epochs"}
    with pytest.raises(UsageError, match="begun with epochs 3, now it is None"):
        agree(study(tmp_path), fewer, tmp_path)
    with pytest.raises(UsageError, match="begun with warmup None, now it is 2"):
        agree(study(tmp_path), facts | {"warmup": "2"}, tmp_path)


def test_the_recorded_identity_leaves_out_what_is_as_before(recipe: Recipe, small: Grid) -> None:
    found = identity("aa", recipe, small)
    assert found | {"sync_batchnorm": "false"} == EARLIER
    assert "sync_batchnorm" not in found
    assert identity("aa", replace(recipe, network="resnet18"), small)["network"] == '"resnet18"'


@pytest.mark.parametrize(
    "later",
    [{}, {"synthetic_weight": "1.0"}, {"synthetic_weight": "1.0", "schedule": '"constant"'}],
)
def test_a_sweep_of_an_earlier_version_goes_on(
    tmp_path: Path,
    study: Callable[[Path], optuna.Study],
    run: Run,
    recipe: Recipe,
    later: dict[str, str],
) -> None:
    asked = replace(recipe, epochs=3, seed=1)
    trials = run(tmp_path, recipe=asked)
    recorded = EARLIER | {"epochs": "3", "seed": "1"} | later
    study(tmp_path).set_user_attr("identity", recorded)
    assert run(tmp_path, pytest.fail, recipe=asked) == trials
    with pytest.raises(UsageError, match=r"begun with synthetic_weight 1\.0, now it is 0\.5"):
        run(tmp_path, pytest.fail, recipe=replace(asked, synthetic_weight=0.5))
    with pytest.raises(UsageError, match='begun with schedule "constant", now it is "cosine"'):
        run(tmp_path, pytest.fail, recipe=replace(asked, schedule="cosine"))


def test_a_sweep_with_other_weights_does_not_go_on_without(
    tmp_path: Path, run: Run, recipe: Recipe
) -> None:
    run(tmp_path, recipe=replace(recipe, synthetic_weight=0.5))
    with pytest.raises(UsageError, match=r"begun with synthetic_weight 0\.5, now it is 1\.0"):
        run(tmp_path, pytest.fail, recipe=recipe)


def test_a_strangers_study_is_refused(tmp_path: Path, run: Run) -> None:
    storage = f"sqlite:///{tmp_path}/sweep.db"
    optuna.create_study(storage=storage, study_name=tmp_path.name).ask()
    with pytest.raises(UsageError, match="was begun with manifest None"):
        run(tmp_path, pytest.fail, storage=storage)


@pytest.mark.parametrize(
    "storage", ["nonsense", "sqlite:////nowhere/at/all.db", "postgresql+no://me:secret@localhost/x"]
)
def test_a_database_that_does_not_open_is_one_sentence(
    tmp_path: Path, run: Run, storage: str
) -> None:
    with pytest.raises(UsageError, match="storage") as caught:
        run(tmp_path, pytest.fail, storage=storage)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_journal_with_half_a_last_line_is_mended(
    tmp_path: Path, run: Run, trained: Callable[[Path], Counter[str]], cut: int
) -> None:
    trials = run(tmp_path)
    journal = tmp_path / "sweep.journal"
    *_, last = journal.read_bytes().splitlines(keepends=True)
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size - min(cut, len(last) - 1))
    assert run(tmp_path) == trials
    assert set(trained(tmp_path).values()) == {1}
    assert run(tmp_path, pytest.fail) == trials


def test_half_a_line_of_a_process_killed_meanwhile_is_mended(
    tmp_path: Path, run: Run, toy: Callable[..., Fitted]
) -> None:
    def fit(recipe: Recipe, folder: Path) -> Fitted:
        with (tmp_path / "sweep.journal").open("ab") as file:
            file.write(b'{"op_code":5,"worker')
        return toy(recipe, folder)

    assert run(tmp_path, fit) == run(tmp_path / "unbroken")
    assert b'"worker{' not in (tmp_path / "sweep.journal").read_bytes()


LINES = [b"\0\0\0\n", b"{}\n", b"[]\n", b'{"op_code":99}\n', b"\xff\n", b"[" * 99_999 + b"\n"]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("at_end", [False, True])
def test_a_damaged_journal_is_refused_and_may_be_deleted(
    tmp_path: Path, run: Run, trained: Callable[[Path], Counter[str]], line: bytes, at_end: bool
) -> None:
    trials, journal = run(tmp_path), tmp_path / "sweep.journal"
    text = journal.read_bytes()
    journal.write_bytes(text + line if at_end else line + text)
    with pytest.raises(CheckError, match="delete it and repeat"):
        run(tmp_path, pytest.fail)
    journal.unlink()
    assert run(tmp_path) == trials
    assert set(trained(tmp_path).values()) == {1}


def test_a_record_that_was_changed_is_refused(
    tmp_path: Path, run: Run, study: Callable[[Path], optuna.Study]
) -> None:
    trials = run(tmp_path)
    study(tmp_path).set_user_attr(trials[0].folder, {"best_epoch": "two"})
    with pytest.raises(CheckError, match=r"^The record of lr0\.1-batch2-momentum in .*best_epoch"):
        run(tmp_path, pytest.fail)
