import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.contract import ImageSpec, UsageError, sha256_bytes
from builder.contract.record import to_json
from trainer.config import RunPlan
from trainer.evaluate.external import ExternalTest
from trainer.evaluate.external_scores import scores_path
from trainer.experiment import Experiment
from trainer.experiment.jobs import RunJob
from trainer.recipe import read_config
from trainer.report import Report, load_report
from trainer.report.across import Variant
from trainer.report.comparison_report import ReportSettings
from trainer.report.results import (
    ArmResult,
    DatasetResult,
    LastLosses,
    SampleSize,
    SeedResult,
)
from trainer.report.run_report import Shown
from trainer.sweep import Point

Planned = Callable[..., Experiment]
Leave = Callable[[RunPlan, str], None]


def with_recipe(job: RunJob, **changes: object) -> RunJob:
    recipe = replace(job.plan.recipe, **changes)  # type: ignore[arg-type]
    return replace(job, plan=replace(job.plan, recipe=recipe))


def test_a_run_on_another_device_is_the_same_run(planned: Planned) -> None:
    job = planned().jobs[0]
    moved = job.on("cuda:1")
    assert moved.plan.machine.device == "cuda:1"
    assert moved.on("cpu") == job


def test_a_run_is_complete_when_its_report_is_of_this_recipe(
    planned: Planned, finish: Leave
) -> None:
    job = planned().jobs[0]
    assert not job.is_complete()
    finish(job.plan, job.digest)
    assert job.is_complete()
    assert not with_recipe(job, epochs=2).is_complete()
    with pytest.raises(UsageError, match=r"was begun with lr 0\.001, now it is 0\.5"):
        with_recipe(job, lr=0.5).is_complete()
    with pytest.raises(UsageError, match="was begun with manifest_sha256"):
        replace(job, digest="0").is_complete()
    (job.plan.out / "report.json").write_text("{")
    assert not job.is_complete()


@pytest.mark.parametrize("missing", ["controls", "software"])
def test_a_run_reported_by_an_earlier_version_is_scored_again(
    planned: Planned, finish: Leave, missing: str
) -> None:
    job = planned().jobs[0]
    finish(job.plan, job.digest)
    path = job.plan.out / "report.json"
    facts = json.loads(path.read_text())
    del facts[missing]
    path.write_text(json.dumps(facts))
    job.check()
    assert not job.is_complete()


def test_what_was_begun_as_another_run_is_refused_before_anything_is_trained(
    planned: Planned, begin: Leave
) -> None:
    arms = ("none", "pretrain")
    none, pretrain = planned(epochs=3, arms=arms, seeds=1).jobs
    begin(none.plan, none.digest)
    with pytest.raises(UsageError, match=r"none-seed0 was begun with lr 0\.001, now it is 0\.5"):
        planned(epochs=3, lr=0.5)
    planned(epochs=4, arms=arms)
    with pytest.raises(UsageError, match="none-seed0 was begun with epochs 3, now it is 2"):
        planned(epochs=2)
    begin(pretrain.plan, pretrain.digest)
    with pytest.raises(UsageError, match="pretrain-seed0 was begun with epochs 3, now it is 4"):
        planned(epochs=4, arms=arms)
    (none.plan.out / "config.json").write_text("{")  # its own training says what is wrong
    planned(epochs=3, lr=0.5, arms=("none",))


def test_other_weights_to_begin_with_are_refused_before_anything_is_trained(
    planned: Planned, finish: Leave, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"first")
    job = planned(seeds=1, arms=("none",)).jobs[0]
    job = replace(with_recipe(job, init=str(weights)), init_sha256=sha256_bytes(b"first"))
    finish(job.plan, job.digest)
    config = job.plan.out / "config.json"
    for path in (config, config.with_name("report.json")):
        noted = path.read_text().replace(
            '"init_sha256": null', f'"init_sha256": "{job.init_sha256}"'
        )
        path.write_text(noted)
    job.check()
    assert job.is_complete()
    elsewhere = with_recipe(job, init=str(tmp_path / "moved" / "weights.pth"))
    elsewhere.check()  # the same weights, in another place
    assert elsewhere.is_complete()
    moved = replace(job, init_sha256=None)  # the report of finished runs needs no weights
    moved.check()
    assert moved.is_complete()
    other = replace(job, init_sha256=sha256_bytes(b"second"))
    for refused in (other.check, other.is_complete):
        with pytest.raises(UsageError, match=r"began with other weights than .*weights\.pth holds"):
            refused()


def test_a_grid_is_resumed_only_with_as_many_epochs(planned: Planned, begin: Leave) -> None:
    job = planned(arms=("none",), grid=True, seeds=1).jobs[0]
    point = Point(lr=0.5, batch=64, optimizer="momentum")
    assert job.grid is not None
    begun = replace(job.plan, out=job.grid / "lr0.5", recipe=point.apply(job.plan.recipe))
    begin(begun, job.digest)
    planned(arms=("none",), grid=True)
    with pytest.raises(UsageError, match=r"lr0\.5 was begun with epochs 1, now it is 2"):
        planned(epochs=2, arms=("none",), grid=True)
    with pytest.raises(UsageError, match=r"lr0\.5 was begun with steps equal, now it is own"):
        planned(steps="own", arms=("none",), grid=True)


def save_sweep(grid: Path, *points: Point, best: int | None) -> None:
    """What a sweep leaves, as far as the experiment reads it."""
    rows = [
        {"params": {name: getattr(point, name) for name in ("lr", "batch", "optimizer")}}
        | {"folder": point.folder, "val_auc": 0.5, "best_epoch": 1, "seconds": 1.0, "failed": ""}
        for point in points
    ]
    folder = None if best is None else points[best].folder
    grid.mkdir(parents=True, exist_ok=True)
    (grid / "sweep.json").write_text(json.dumps({"best": folder, "points": rows}))


def test_a_grid_gives_its_best_point_to_all_seeds(planned: Planned) -> None:
    jobs = planned(arms=("gan",), grid=True, seeds=3).jobs
    grid = jobs[0].grid
    assert grid is not None
    assert [job.chosen() for job in jobs] == [None] * 3
    bad, good = (Point(lr=lr, batch=64, optimizer="momentum") for lr in (7.0, 0.5))
    save_sweep(grid, bad, good, best=1)
    chosen = [job.chosen() for job in jobs]
    assert [plan and plan.recipe for plan in chosen] == [
        good.apply(job.plan.recipe) for job in jobs
    ]
    folders = [grid / good.folder, grid.parent / "gan-seed1", grid.parent / "gan-seed2"]
    assert [plan and plan.out for plan in chosen] == folders
    save_sweep(grid, bad, good, best=None)  # all failed
    assert jobs[0].chosen() is None
    (grid / "sweep.json").write_text('{"best": "lr0.5", "points": [')
    assert jobs[0].chosen() is None


def with_test(job: RunJob) -> RunPlan:
    test = ExternalTest(shards="t.json", name="t", digest="e" * 64, labels=(), left_out=())
    scores_path(job.plan.out, test).parent.mkdir(exist_ok=True)
    scores_path(job.plan.out, test).touch()
    os.utime(scores_path(job.plan.out, test), (0, 0))
    return replace(job.plan, tests=(test,))


def comparison(folders: tuple[Path, ...], *, min_positives: int) -> Report:
    """The report of those runs, as if they were the seeds of one arm."""
    found = [(folder, load_report(folder)) for folder in folders]
    runs = tuple(
        SeedResult(
            seed=seed,
            folder=str(folder),
            command=run.command,
            config=read_config(folder),
            unread=0,
            best_epoch=1,
            val_auc_mean=None,
            losses=((0.7, 0.7),),
            software={},
            sha256={},
        )
        for seed, (folder, run) in enumerate(found)
    )
    arm = ArmResult(
        name="none",
        title="none",
        lent_by=None,
        modifiers=(),
        recipe={},
        steps=8,
        shown=Shown(real=129.0, synthetic=0.0),
        epochs=1,
        last=LastLosses(train_loss=0.7, val_loss=0.7, gap=0.0),
        runs=runs,
        pathologies={},
    )
    dataset = DatasetResult(
        name="tiny",
        digest=found[0][1].manifest.digest,
        regime=None,
        generator=None,
        source={},
        build={},
        image=ImageSpec(height=32, width=32, codec="png", quality=0),
        images={},
        plan=None,
        targets=(),
        test=SampleSize(images=44, patients=15),
        positives={},
        common=(),
        arms=(arm,),
        comparisons=(),
        subgroups=(),
    )
    settings = ReportSettings(
        level=0.05,
        resamples=1000,
        seed=0,
        min_positives=min_positives,
        few=50,
        specificity=0.9,
        bins=10,
    )
    return Report(settings=settings, notes=(), datasets=(dataset,), command="", software={})


def test_a_report_is_current_when_it_is_of_these_runs_as_they_are(
    planned: Planned, finish: Leave
) -> None:
    experiment = planned()
    for job in experiment.jobs:
        finish(job.plan, job.digest)
    report = comparison(experiment.folders(), min_positives=5)
    assert experiment.current_report(5) is None
    experiment.report.mkdir()
    path = experiment.report / "report.json"
    path.write_text(to_json(report))
    assert experiment.current_report(5) == report
    assert experiment.current_report(6) is None
    for reference, is_current in (("tiny", True), ("named before", False)):
        row = Variant(
            dataset="tiny", arm="pretrain", differs=(), reference=reference, pathology="Hernia",
            missing=None,
        )  # fmt: skip
        path.write_text(to_json(replace(report, variants=(row,))))
        assert (experiment.current_report(5) is not None) == is_current
    path.write_text(to_json(report))
    assert planned(seeds=1).current_report(5) is None  # another set of runs
    os.utime(path, (0, 0))
    assert experiment.current_report(5) is None
    facts = json.loads(to_json(report))
    del facts["datasets"][0]["arms"][0]["modifiers"]
    path.write_text(json.dumps(facts))
    assert experiment.current_report(5) is None  # an earlier version's
    path.write_text("[")
    assert experiment.current_report(5) is None
