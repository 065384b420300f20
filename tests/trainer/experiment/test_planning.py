import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from builder.contract import (
    CheckError,
    UsageError,
    index_bytes,
    load_manifest,
    save_manifest,
    sha256_bytes,
)
from builder.contract.lock import hold
from trainer.config import RunPlan, Settings
from trainer.experiment import Experiment

Planned = Callable[..., Experiment]
Leave = Callable[[RunPlan, str], None]
REAL = {("train", "real"): 50, ("val", "real"): 20, ("test", "real"): 20}


def titles(experiment: Experiment) -> list[str]:
    return [f"{job.dataset} {job.arm} {job.plan.recipe.seed}" for job in experiment.jobs]


def test_every_arm_and_seed_is_a_run_and_whole_comparisons_come_first(
    planned: Planned, tmp_path: Path
) -> None:
    experiment = planned(arms=(), epochs=2)
    arms = ("none", "flip", "gan", "oversample", "pretrain", "classweight")
    assert titles(experiment) == [f"tiny {arm} {seed}" for seed in (0, 1) for arm in arms]
    assert experiment.jobs[0].plan.out == tmp_path / "tiny" / "none-seed0"
    assert experiment.jobs[1].plan.recipe.augment == "flip"
    assert {job.images for job in experiment.jobs} == {2 * 129}


def test_all_runs_share_the_settings_and_may_be_resumed(planned: Planned, sealed: Any) -> None:
    first, *_, last = planned(lr=0.5, skip_bad=True, min_positives=7).jobs
    assert (first.plan.recipe.lr, last.plan.recipe.lr) == (0.5, 0.5)
    assert first.plan.machine == last.plan.machine
    for job in (first, last):
        assert (job.plan.skip_bad, job.plan.min_positives, job.plan.resume) == (True, 7, True)
        assert job.plan.shards == str(sealed.path)
        assert (job.digest, job.size) == (sealed.manifest.digest, (32, 32))
        assert (job.val, job.test) == (40, 44)


def test_images_are_those_that_the_arm_shows(planned: Planned) -> None:
    own = {"epochs": 3, "steps": "own", "mix": "synthetic=0.5"}
    experiment = planned(arms=("none", "gan", "pretrain"), seeds=1, **own)
    assert [job.images for job in experiment.jobs] == [3 * 97, 3 * (97 + 16), 16 + 2 * 97]


def test_seeds_count_from_the_one_that_is_named(planned: Planned) -> None:
    experiment = planned(arms=("gan",), seed=7, grid=True)
    assert titles(experiment) == ["tiny gan 7", "tiny gan 8"]
    assert [job.plan.out.name for job in experiment.jobs] == ["gan-seed7", "gan-seed8"]
    assert [job.first for job in experiment.jobs] == [True, False]


def test_an_arm_named_twice_is_trained_once(planned: Planned) -> None:
    assert len(planned(arms=("gan", "none", "gan"), seeds=1).jobs) == 2


def second(sealed: Any, name: str, **changes: Any) -> str:
    """Another manifest of the same shards."""
    path = sealed.path.with_name(f"{name}.json")
    before, where = sealed.manifest, sealed.path
    sealed.path = path
    sealed.save(name=name, **changes)
    sealed.path, sealed.manifest = where, before
    return str(path)


def test_controls_are_trained_once_for_datasets_that_differ_in_synthetic_pixels(
    sealed: Any, planned: Planned
) -> None:
    other = second(sealed, "other", generator={"name": "pggan", "sha256": "1" * 64})
    experiment = planned(seeds=1, paths=[str(sealed.path), other])
    assert titles(experiment) == ["tiny none 0", "tiny gan 0", "other gan 0"]


def test_the_dataset_that_has_runs_of_a_control_lends_it(
    sealed: Any, planned: Planned, begin: Leave
) -> None:
    other = second(sealed, "other", generator={"name": "pggan", "sha256": "1" * 64})
    none, _ = planned(seeds=1).jobs
    begin(none.plan, none.digest)
    experiment = planned(seeds=1, paths=[other, str(sealed.path)])
    assert titles(experiment) == ["other gan 0", "tiny none 0", "tiny gan 0"]


def test_each_weight_is_an_arm_of_its_own_where_it_changes_anything(planned: Planned) -> None:
    jobs = planned(arms=("none", "gan", "oversample"), weights=(1.0, 0.5), seeds=1).jobs
    folders = ["none-seed0", "gan-seed0", "gan-weight0.5-seed0"]
    folders += ["oversample-seed0", "oversample-weight0.5-seed0"]
    assert [job.plan.out.name for job in jobs] == folders
    assert [job.plan.recipe.synthetic_weight for job in jobs] == [1, 1, 0.5, 1, 0.5]
    assert jobs[2].title == "tiny, gan, synthetic weight 0.5, seed 0"
    assert len({job.title for job in jobs}) == 5
    assert planned(arms=("gan",), weights=(0.5,), grid=True).jobs[0].grid == (
        jobs[0].plan.out.with_name("gan-weight0.5-grid")
    )


@pytest.mark.parametrize(
    ("steps", "of_larger"),
    [("equal", ["none", "oversample", "gan"]), ("own", ["oversample", "gan"])],
)
def test_the_doses_of_a_curve_share_the_controls_that_do_not_depend_on_them(
    sealed: Any, planned: Planned, tmp_path: Path, steps: str, of_larger: list[str]
) -> None:
    """An epoch of equal steps is as long as one of gan, hence longer with a larger share."""
    larger, index = tmp_path / "larger", sealed.index
    shutil.copytree(sealed.root, larger)
    manifest = load_manifest(larger / "manifests/tiny.json")
    *others, last = manifest.shardlist
    rows = index.shard != last.url  # one synthetic shard less
    fewer = replace(index, **{c.name: getattr(index, c.name)[rows] for c in fields(index)})
    parquet = index_bytes(fewer, manifest.pathologies)
    (larger / manifest.index.url).write_bytes(parquet)
    entry = replace(manifest.index, rows=len(fewer), sha256=sha256_bytes(parquet))
    smaller = replace(manifest, name="smaller", shardlist=tuple(others), index=entry)
    save_manifest(smaller, path := larger / "manifests/smaller.json")
    arms = ("none", "oversample", "gan")
    experiment = planned(seeds=1, arms=arms, steps=steps, paths=[str(path), str(sealed.path)])
    assert titles(experiment) == [f"smaller {arm} 0" for arm in arms] + [
        f"tiny {arm} 0" for arm in of_larger
    ]


def test_a_dataset_with_other_real_shards_has_controls_of_its_own(
    sealed: Any, planned: Planned, sealer: Callable[..., Any], tmp_path: Path
) -> None:
    elsewhere = sealer(tmp_path / "elsewhere", counts=REAL)
    elsewhere.save(name="plain")
    experiment = planned(seeds=1, paths=[str(sealed.path), str(elsewhere.path)])
    assert titles(experiment) == ["tiny none 0", "tiny gan 0", "plain none 0"]  # no synthetic image


def test_a_folder_stands_for_its_manifests(sealed: Any, planned: Planned) -> None:
    second(sealed, "other")
    for folder in (sealed.root, sealed.path.parent):
        experiment = planned(seeds=1, arms=("gan",), paths=[str(folder)])
        assert titles(experiment) == ["other gan 0", "tiny gan 0"]


def test_a_dataset_without_real_images_among_others_is_named_with_the_others(
    sealed: Any, planned: Planned
) -> None:
    alone = Path(__file__).parents[3] / "manifests" / "nih1.json"
    said = rf"{alone} holds only the synthetic .* xtrain experiment {sealed.path}\."
    with pytest.raises(UsageError, match=said):
        planned(paths=[str(alone), str(sealed.path)])


def test_shards_that_are_not_here_are_said_before_any_run(
    sealed: Any, planned: Planned, finish: Leave
) -> None:
    jobs = planned(seeds=1).jobs
    (sealed.root / sealed.manifest.shardlist[-1].url).unlink()
    with pytest.raises(CheckError, match=f"xbuild rebuild {sealed.path} .* is missing under"):
        planned(seeds=1)
    planned(seeds=1, skip_bad=True)
    for job in jobs:
        finish(job.plan, job.digest)
    planned(seeds=1)  # complete: no shard is needed


def test_what_cannot_be_planned_is_refused(
    sealed: Any, planned: Planned, tmp_path: Path, sealer: Callable[..., Any]
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no manifest"):
        planned(paths=[str(tmp_path / "empty")])
    with pytest.raises(UsageError, match="Two manifests are called tiny"):
        planned(paths=[str(sealed.path)] * 2)
    with pytest.raises(UsageError, match="need synthetic images"):
        planned(data=sealer(tmp_path / "plain", counts=REAL), arms=("gan",))


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_dataset_without_images_to_choose_or_compare_by_is_refused(
    planned: Planned, tmp_path: Path, sealer: Callable[..., Any], split: str
) -> None:
    counts = {kind: count for kind, count in REAL.items() if kind != (split, "real")}
    without = sealer(tmp_path / "without", counts=counts)
    with pytest.raises(UsageError, match=f"{without.path} has no {split}"):
        planned(data=without, arms=("none",))


def test_what_would_end_a_run_is_refused_before_any(planned: Planned) -> None:
    with pytest.raises(UsageError, match="--arm pretrain needs at least two epochs"):
        planned(arms=("none", "pretrain"))
    with pytest.raises(UsageError, match="too few for 2 pieces"):
        planned(batch=2, accumulate=2)


def test_torchrun_is_refused(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without torchrun"):
        planned()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"device": "cuda:77"}, "cuda:77"),
        ({"track": ("nothing",)}, "--track nothing needs a package"),
        ({"init": "weights.pth"}, "--init weights.pth: there is no such file"),
    ],
)
def test_what_no_run_could_have_is_refused(
    planned: Planned, settings: Settings, finish: Leave, changes: dict[str, Any], said: str
) -> None:
    init = changes.get("init", "random")
    machine = replace(settings.machine, **{n: v for n, v in changes.items() if n != "init"})
    impossible = replace(settings, init=init, machine=machine)
    with pytest.raises(UsageError, match=said):
        planned(settings=impossible, seeds=1)
    for job in planned(seeds=1).jobs:
        recipe = replace(job.plan.recipe, init=init)
        finish(replace(job.plan, recipe=recipe), job.digest)
    planned(settings=impossible, seeds=1)  # complete: there is nothing to start


def test_runs_with_and_without_a_grid_do_not_share_a_folder(
    planned: Planned, finish: Leave, tmp_path: Path
) -> None:
    without, grid = planned(), planned(grid=True)
    finish(without.jobs[0].plan, without.jobs[0].digest)
    with pytest.raises(UsageError, match=r"none-seed0 was begun without it: leave it out, or"):
        planned(grid=True)
    other = tmp_path / "elsewhere"
    with hold(other / "tiny/none-grid", wait=None):  # begun, and refused at once
        planned(out=other)
    (other / "tiny/none-grid/sweep.journal").touch()
    with pytest.raises(UsageError, match=r"none-grid was begun with --grid: use --grid again, or"):
        planned(out=other)
    assert planned(out=other, grid=True).jobs[0].title == grid.jobs[0].title


def test_every_run_is_scored_on_the_tests_that_all_datasets_can_have(
    planned: Planned, sealer: Callable[..., Any], tmp_path: Path
) -> None:
    there = sealer(tmp_path / "there", counts={("train", "real"): 9, ("test", "real"): 20})
    experiment = planned(tests=[str(there.path)])
    assert {job.plan.tests for job in experiment.jobs} == {experiment.jobs[0].plan.tests}
    assert experiment.tests == (there.manifest.digest,)
    with pytest.raises(UsageError, match="is named twice"):
        planned(tests=[str(there.path)] * 2)
    (there.root / there.manifest.shardlist[-1].url).unlink()
    with pytest.raises(CheckError, match="is missing under"):
        planned(tests=[str(there.path)])
