import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from builder.contract import CheckError, UsageError, load_manifest
from builder.contract.lock import hold
from builder.store import Cache
from trainer.cli import main
from trainer.config import Config
from trainer.experiment import (
    Paper,
    devices,
    estimate,
    plan,
    run_local_workers,
    time_estimate,
    work,
)
from trainer.experiment.jobs import Job
from trainer.experiment.time_estimate import TimeEstimate, makespan
from trainer.fit.control import Stopped
from trainer.recipe import Recipe

WORK = sys.modules["trainer.experiment.work"]
PROCESSES = sys.modules["trainer.experiment.processes"]


@pytest.fixture
def config(recipe: Recipe, tmp_path: Path) -> Config:
    return Config(
        shards="", shards_root=None, out=tmp_path, device="cpu", workers=1, resume=True,
        recipe=replace(recipe, epochs=1, batch=16, arm="", augment="none"),
        skip_bad=False, ram_bytes=0, cache=Cache(folder=tmp_path / "cache", max_bytes=10**9),
        save_every=3600, track=(),
    )  # fmt: skip


def planned(sealed: Any, config: Config, **changes: Any) -> Paper:
    how: dict[str, Any] = {"arms": ("none", "gan"), "seeds": 2, "grid": False, "out": config.out}
    paths = changes.pop("paths", [str(sealed.path)])
    return plan(paths, config, **(how | changes))


def titles(paper: Paper) -> list[str]:
    return [f"{job.dataset} {job.arm} {job.config.recipe.seed}" for job in paper.jobs]


def begin(config: Config, digest: str) -> None:
    """What the first save of train() leaves, as far as the paper looks at it."""
    config.out.mkdir(parents=True, exist_ok=True)
    facts = asdict(config.recipe) | {"manifest_sha256": digest}
    (config.out / "config.json").write_text(json.dumps(facts))


def finish(config: Config, digest: str) -> None:
    """What train() leaves, as far as the paper looks at it."""
    config.out.mkdir(parents=True, exist_ok=True)
    facts = {"config": asdict(config.recipe), "manifest": {"digest": digest}, "controls": "c"}
    (config.out / "report.json").write_text(json.dumps(facts | {"epochs": config.recipe.epochs}))
    begin(config, digest)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were trained, by a training that takes no time."""
    done: list[str] = []

    def train(config: Config) -> None:
        done.append(config.out.name)
        finish(config, digest_of(config))

    monkeypatch.setattr(WORK, "train", train)
    return done


def digest_of(config: Config) -> str:
    return load_manifest(Path(config.shards)).digest


# --- which runs ----------------------------------------------------------------------------------


def test_every_arm_and_seed_is_a_run_and_whole_comparisons_come_first(sealed: Any, config: Config):
    config = replace(config, recipe=replace(config.recipe, epochs=2))
    paper = planned(sealed, config, arms=())
    arms = ("none", "flip", "gan", "oversample", "pretrain", "classweight")
    assert titles(paper) == [f"tiny {arm} {seed}" for seed in (0, 1) for arm in arms]
    assert paper.jobs[0].config.out == config.out / "tiny" / "none-seed0"
    assert paper.jobs[1].config.recipe.augment == "flip"
    assert {job.images for job in paper.jobs} == {2 * 129}


def test_images_are_those_that_the_arm_shows(sealed: Any, config: Config):
    own = replace(config.recipe, epochs=3, steps="own", mix="synthetic=0.5")
    paper = planned(sealed, replace(config, recipe=own), arms=("none", "gan", "pretrain"), seeds=1)
    assert [job.images for job in paper.jobs] == [3 * 97, 3 * (97 + 16), 16 + 2 * 97]


def test_seeds_count_from_the_one_that_is_named(sealed: Any, config: Config):
    config = replace(config, recipe=replace(config.recipe, seed=7))
    assert titles(planned(sealed, config, arms=("gan",))) == ["tiny gan 7", "tiny gan 8"]


def second(sealed: Any, name: str, **changes: Any) -> str:
    """Another manifest of the same shards."""
    path = sealed.path.with_name(f"{name}.json")
    before, where = sealed.manifest, sealed.path
    sealed.path = path
    sealed.save(name=name, **changes)
    sealed.path, sealed.manifest = where, before
    return str(path)


def test_controls_are_trained_once_for_datasets_that_differ_in_synthetic_pixels(
    sealed: Any, config: Config
):
    other = second(sealed, "other", generator={"name": "pggan", "sha256": "1" * 64})
    paper = planned(sealed, config, seeds=1, paths=[str(sealed.path), other])
    assert titles(paper) == ["tiny none 0", "tiny gan 0", "other gan 0"]


def test_a_dataset_with_other_real_shards_has_controls_of_its_own(
    sealed: Any, config: Config, sealer: Callable[..., Any], tmp_path: Path
):
    counts = {("train", "real"): 50, ("val", "real"): 20, ("test", "real"): 20}
    elsewhere = sealer(tmp_path / "elsewhere", counts=counts)
    elsewhere.save(name="plain")
    paper = planned(sealed, config, seeds=1, paths=[str(sealed.path), str(elsewhere.path)])
    assert titles(paper) == ["tiny none 0", "tiny gan 0", "plain none 0"]  # nothing synthetic


def test_a_folder_stands_for_its_manifests(sealed: Any, config: Config):
    second(sealed, "other")
    for folder in (sealed.root, sealed.path.parent):
        paper = planned(sealed, config, seeds=1, arms=("gan",), paths=[str(folder)])
        assert titles(paper) == ["other gan 0", "tiny gan 0"]


def test_what_cannot_be_planned_is_refused(
    sealed: Any, config: Config, tmp_path: Path, sealer: Any
):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no manifest"):
        planned(sealed, config, paths=[str(tmp_path / "empty")])
    with pytest.raises(UsageError, match="Two manifests are called tiny"):
        planned(sealed, config, paths=[str(sealed.path)] * 2)
    counts = {("train", "real"): 50, ("val", "real"): 20, ("test", "real"): 20}
    plain = sealer(tmp_path / "plain", counts=counts)
    with pytest.raises(UsageError, match="need synthetic images"):
        planned(plain, config, arms=("gan",))


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_dataset_without_images_to_choose_or_compare_by_is_refused(
    config: Config, tmp_path: Path, sealer: Any, split: str
):
    counts = {("train", "real"): 50, ("val", "real"): 20, ("test", "real"): 20}
    del counts[split, "real"]
    without = sealer(tmp_path / "without", counts=counts)
    with pytest.raises(UsageError, match=f"{without.path} has no {split}"):
        planned(without, config, arms=("none",))


def test_what_would_end_a_run_is_refused_before_any(sealed: Any, config: Config):
    with pytest.raises(UsageError, match="--arm pretrain needs two epochs"):
        planned(sealed, config, arms=("none", "pretrain"))
    pieces = replace(config, recipe=replace(config.recipe, batch=2, accumulate=2))
    with pytest.raises(UsageError, match="too few for 2 pieces"):
        planned(sealed, pieces)


def test_torchrun_is_refused(sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without torchrun"):
        planned(sealed, config)


def test_runs_with_and_without_a_grid_do_not_share_a_folder(
    sealed: Any, config: Config, tmp_path: Path
):
    without, grid = planned(sealed, config), planned(sealed, config, grid=True)
    finish(without.jobs[0].config, without.jobs[0].digest)
    with pytest.raises(UsageError, match=r"none-seed0 was begun without it: leave it out, or"):
        planned(sealed, config, grid=True)
    other = tmp_path / "elsewhere"
    with hold(other / "tiny/none-grid", wait=None):  # begun, and refused at once
        planned(sealed, config, out=other)
    (other / "tiny/none-grid/sweep.journal").touch()
    with pytest.raises(UsageError, match=r"none-grid was begun with --grid: give it again, or"):
        planned(sealed, config, out=other)
    assert planned(sealed, config, out=other, grid=True).jobs[0].title == grid.jobs[0].title


def epochs(config: Config, number: int) -> Config:
    return replace(config, recipe=replace(config.recipe, epochs=number))


def test_what_was_begun_as_another_run_is_refused_before_anything_is_trained(
    sealed: Any, config: Config
):
    config = epochs(config, 3)
    none, pretrain = planned(sealed, config, arms=("none", "pretrain"), seeds=1).jobs
    begin(none.config, none.digest)
    other = replace(config, recipe=replace(config.recipe, lr=0.5))
    with pytest.raises(UsageError, match=r"none-seed0 was begun with lr 0\.001, now it is 0\.5"):
        planned(sealed, other)
    planned(sealed, epochs(config, 4), arms=("none", "pretrain"))
    with pytest.raises(UsageError, match="none-seed0 was begun with epochs 3, now it is 2"):
        planned(sealed, epochs(config, 2))
    begin(pretrain.config, pretrain.digest)
    with pytest.raises(UsageError, match="pretrain-seed0 was begun with epochs 3, now it is 4"):
        planned(sealed, epochs(config, 4), arms=("none", "pretrain"))
    (none.config.out / "config.json").write_text("{")  # its own training says what is wrong
    planned(sealed, other, arms=("none",))


def test_a_grid_goes_on_with_as_many_epochs(sealed: Any, config: Config):
    job = planned(sealed, config, arms=("none",), grid=True, seeds=1).jobs[0]
    point = replace(config.recipe, arm="none", lr=0.5, batch=64, optimizer="momentum")
    begin(replace(job.config, out=job.grid / "lr0.5", recipe=point), job.digest)
    planned(sealed, config, arms=("none",), grid=True)
    with pytest.raises(UsageError, match=r"lr0\.5 was begun with epochs 1, now it is 2"):
        planned(sealed, epochs(config, 2), arms=("none",), grid=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"device": "cuda:77"}, "cuda:77"),
        ({"track": ("nothing",)}, "--track nothing is unknown"),
        ({"init": "weights.pth"}, "--init weights.pth: there is no such file"),
    ],
)
def test_what_no_run_could_have_is_refused(
    sealed: Any, config: Config, changes: dict[str, Any], said: str
):
    init = changes.pop("init", "random")
    config = replace(config, recipe=replace(config.recipe, init=init), **changes)
    with pytest.raises(UsageError, match=said):
        planned(sealed, config, seeds=1)
    good = replace(config.recipe, init="random")
    paper = planned(sealed, replace(config, device="cpu", track=(), recipe=good), seeds=1)
    for job in paper.jobs:
        recipe = replace(job.config.recipe, init=init)
        finish(replace(job.config, recipe=recipe), job.digest)
    planned(sealed, config, seeds=1)  # complete: there is nothing to start


def test_an_arm_named_twice_is_trained_once(sealed: Any, config: Config):
    assert len(planned(sealed, config, arms=("gan", "none", "gan"), seeds=1).jobs) == 2


def test_a_run_is_complete_when_its_report_is_of_this_recipe(sealed: Any, config: Config):
    job = planned(sealed, config).jobs[0]
    assert not job.complete()
    finish(job.config, job.digest)
    assert job.complete()
    assert not replace(job, config=replace(job.config, recipe=more(job.config.recipe))).complete()
    other = replace(job.config.recipe, lr=0.5)
    with pytest.raises(UsageError, match=r"was begun with lr 0\.001, now it is 0\.5"):
        replace(job, config=replace(job.config, recipe=other)).complete()
    with pytest.raises(UsageError, match="was begun with manifest_sha256"):
        replace(job, digest="0").complete()
    (job.config.out / "report.json").write_text("{")
    assert not job.complete()


def test_a_report_is_current_when_it_is_of_these_runs_as_they_are(sealed: Any, config: Config):
    paper = planned(sealed, config)
    for job in paper.jobs:
        finish(job.config, job.digest)
    runs = [{"folder": str(folder)} for folder in paper.folders()]
    arm = {"runs": runs, "modifiers": []}
    facts = {"settings": {"min_positives": 5}, "datasets": [{"arms": [arm]}]}
    assert paper.reported(5) is None
    paper.report.mkdir()
    path = paper.report / "report.json"
    path.write_text(json.dumps(facts))
    assert paper.reported(5) == facts
    assert paper.reported(6) is None
    assert planned(sealed, config, seeds=1).reported(5) is None  # another set of runs
    os.utime(path, (0, 0))
    assert paper.reported(5) is None
    path.write_text(json.dumps(facts | {"datasets": [{"arms": [{"runs": runs}]}]}))
    assert paper.reported(5) is None  # an earlier version's
    path.write_text("[")
    assert paper.reported(5) is None


def more(recipe: Recipe) -> Recipe:
    return replace(recipe, epochs=recipe.epochs + 1)


# --- their training ------------------------------------------------------------------------------


def test_every_run_is_trained_once(sealed: Any, config: Config, trained: list[str]):
    paper = planned(sealed, config)
    assert work(paper)
    assert trained == ["none-seed0", "gan-seed0", "none-seed1", "gan-seed1"]
    assert work(paper)
    assert len(trained) == 4


def test_what_another_process_has_in_hand_is_left_to_it(
    sealed: Any, config: Config, trained: list[str], locked: Callable[..., Any]
):
    paper = planned(sealed, config)
    with locked(paper.jobs[1].config.out):
        assert not work(paper)
    assert trained == ["none-seed0", "none-seed1", "gan-seed1"]


def test_a_run_that_fails_does_not_keep_the_others(
    sealed: Any, config: Config, trained: list[str], monkeypatch: pytest.MonkeyPatch
):
    paper, train = planned(sealed, config), WORK.train

    def diverges(config: Config) -> None:
        if config.out.name == "gan-seed0":
            raise UsageError("The loss is not finite.")
        train(config)

    monkeypatch.setattr(WORK, "train", diverges)
    hint = rf"\(xtrain report {config.out} compares what is complete\)"
    with pytest.raises(CheckError, match=rf"1 of 4 runs failed {hint}, .* gan, seed 0: The loss"):
        work(paper)
    assert trained == ["none-seed0", "none-seed1", "gan-seed1"]


def test_a_run_that_failed_here_and_was_done_elsewhere_is_no_failure(
    sealed: Any, config: Config, trained: list[str], monkeypatch: pytest.MonkeyPatch
):
    train = WORK.train

    def out_of_memory(config: Config) -> None:
        train(config)  # by another machine, meanwhile
        if config.out.name == "gan-seed0":
            raise UsageError("The device has not enough memory.")

    monkeypatch.setattr(WORK, "train", out_of_memory)
    assert work(planned(sealed, config))
    assert len(trained) == 4


def test_a_signal_ends_the_work(sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch):
    def stopped(_: Config) -> None:
        raise Stopped("in the middle", signal.SIGTERM)

    monkeypatch.setattr(WORK, "train", stopped)
    with pytest.raises(Stopped):
        work(planned(sealed, config))


def test_the_grid_chooses_the_point_of_all_seeds(
    sealed: Any, config: Config, trained: list[str], monkeypatch: pytest.MonkeyPatch
):
    grids = []

    def sweep(config: Config, *_: Any) -> None:
        grids.append(config.out.name)
        point = {"params": {"lr": 0.5, "batch": 64, "optimizer": "momentum"}, "folder": "lr0.5"}
        config.out.mkdir(parents=True)
        found = {"best": "lr0.5", "points": [{"params": {}, "folder": "worse"}, point]}
        (config.out / "sweep.json").write_text(json.dumps(found))
        best = replace(config, out=config.out / "lr0.5", recipe=chosen(config.recipe))
        finish(best, digest_of(config))

    def chosen(recipe: Recipe) -> Recipe:
        return replace(recipe, lr=0.5, batch=64, optimizer="momentum")

    monkeypatch.setattr(WORK, "sweep", sweep)
    paper = planned(sealed, config, arms=("gan",), seeds=3, grid=True)
    assert work(paper)
    assert (grids, trained) == (["gan-grid"], ["gan-seed1", "gan-seed2"])
    assert [job.chosen().recipe for job in paper.jobs] == [
        replace(chosen(job.config.recipe), seed=seed) for seed, job in enumerate(paper.jobs)
    ]
    assert paper.jobs[0].chosen().out.name == "lr0.5"


def test_a_grid_that_failed_is_not_searched_with_another_seed(
    sealed: Any, config: Config, trained: list[str], monkeypatch: pytest.MonkeyPatch
):
    seeds = []

    def fails(config: Config, *_: Any) -> None:
        seeds.append(config.recipe.seed)
        raise UsageError("All 18 points of the sweep failed.")

    monkeypatch.setattr(WORK, "sweep", fails)
    with pytest.raises(CheckError, match=r"2 of 2 runs failed, .* gan, seed 0: All 18 points"):
        work(planned(sealed, config, arms=("gan",), grid=True))
    assert (seeds, trained) == ([0], [])


# --- how long it takes ---------------------------------------------------------------------------


PACE = TimeEstimate(training=10, scoring=100, reading=1000, start=2, save=3)


def test_seconds_are_those_of_epochs_and_of_what_comes_once(sealed: Any, config: Config):
    job = replace(planned(sealed, config).jobs[0], images=100, val=200, test=1000)
    job = replace(job, config=replace(job.config, recipe=more(job.config.recipe)))
    epochs, once = 100 / 10 + 2 * (200 / 100 + 3), 2 + 1000 / 1000 + 1200 / 100
    assert PACE.run(job) == pytest.approx(epochs + once)
    assert PACE.grid(job, 1) == pytest.approx(18 * epochs + once)
    assert PACE.grid(job, 4) == pytest.approx(5 * epochs + once)  # 4 + 4 + 4 + 4 + 2 points


def test_a_grid_is_shared_by_all_processes_and_its_runs_follow(
    sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("trainer.experiment.show.measure", lambda *_: PACE)
    paper = planned(sealed, config, arms=("gan",), seeds=3, grid=True)
    run, grid = PACE.run(paper.jobs[0]), PACE.grid(paper.jobs[0], 2)
    _, sentence = estimate(paper, ["cuda:0", "cuda:1"], threads=1)
    assert f"about {round((grid + run) / 60)} minutes with 2 processes" in sentence


def test_makespan_is_of_runs_taken_up_in_order():
    assert makespan([], 2) == 0
    assert makespan([3, 1, 1, 1], 1) == 6
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([1, 1, 1, 3], 2) == 4


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_estimate_is_measured_and_counts_what_is_left(
    sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch, jobs: int
):
    monkeypatch.setattr(time_estimate, "SECONDS", 0.2)
    paper = planned(sealed, config)
    finish(paper.jobs[0].config, paper.jobs[0].digest)
    rows, sentence = estimate(paper, ["cpu"] * jobs, threads=1)
    assert [*rows.columns[3].cells] == ["1", "2"]
    assert sentence.startswith("3 of 4 runs are left; they take about ")
    assert ("with 2 processes" in sentence) == (jobs == 2)
    assert "32×32 px: training" in sentence
    assert not [*config.out.rglob("*xtrain-*")]  # nothing is left over
    for job in paper.jobs:
        finish(job.config, job.digest)
    monkeypatch.setattr("trainer.experiment.show.measure", None)  # there is nothing to measure for
    assert estimate(paper, ["cpu"] * jobs, threads=1)[1] == "All 4 runs are complete."


def test_each_process_measures_its_own_device(
    sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def measured(job: Job, _: Path) -> TimeEstimate:
        asked.append(job.config.device)
        return replace(PACE, training=PACE.training + len(asked))

    def here(tasks: Sequence[Callable[[], object]], *_: Any, threads: int) -> list[str]:
        assert threads == 3
        return [str(task() or "") for task in tasks]

    monkeypatch.setattr(time_estimate, "_measured", measured)
    monkeypatch.setattr(time_estimate, "run_processes", here)
    job = planned(sealed, config).jobs[0]
    mean = replace(PACE, training=PACE.training + 1.5)
    assert time_estimate.measure(job, ["cuda:0", "cuda:1"], 3) == mean
    assert asked == ["cuda:0", "cuda:1"]


def test_a_device_that_cannot_measure_is_a_failure(
    sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(PROCESSES, "_start", child("print('No such GPU.'); raise SystemExit(2)"))
    with pytest.raises(CheckError, match=r"^The pace could not be measured: No such GPU\.$"):
        time_estimate.measure(planned(sealed, config).jobs[0], ["cpu", "cpu"], 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Stopped("somewhere", signal.SIGINT)])
def test_a_signal_while_measuring_claims_nothing(
    sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch, error: BaseException
):
    def stopped(*_: Any) -> TimeEstimate:
        raise error

    monkeypatch.setattr(time_estimate, "_measured", stopped)
    with pytest.raises(UsageError, match=r"^Stopped while measuring; nothing was kept\.$") as found:
        estimate(planned(sealed, config), ["cpu"], threads=1)
    assert found.value.exit_code == 130


def test_each_gpu_gets_a_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert devices("auto", None) == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices("cuda", 4) == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert devices("cuda:1", 2) == ["cuda:1", "cuda:1"]
    assert devices("cpu", None) == ["cpu"]


# --- processes -----------------------------------------------------------------------------------


def child(code: str) -> Callable[..., Any]:
    """What stands in for a process of the fleet."""

    def start(log: Path, **_: Any) -> "subprocess.Popen[bytes]":
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=file, stderr=file
            )

    return start


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('1 of 4 runs failed.'); raise SystemExit(1)", r"^1 of 4 runs failed. \(more in "),
        ("raise SystemExit(3)", "^A process ended with 3"),
        (
            "import os; os.kill(os.getpid(), 9)",
            r"ended by signal 9 \(Killed\), maybe for want of memory \(more in .*goes on with what",
        ),
    ],
)
def test_a_process_that_failed_is_named_unless_all_is_complete(
    sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch, code: str, said: str
):
    monkeypatch.setattr(PROCESSES, "_start", child(code))
    paper = planned(sealed, config, seeds=1)
    with pytest.raises(CheckError, match=said):
        run_local_workers(paper, devices=["cpu", "cpu"], threads=1)
    for job in paper.jobs:
        finish(job.config, job.digest)
    run_local_workers(paper, devices=["cpu"], threads=1)  # others made up for it
    name = f"job-{platform.node()}-{os.getpid()}-"
    assert {path.name for path in config.out.glob("job-*")} == {f"{name}0.log", f"{name}1.log"}


@pytest.fixture
def heard() -> Iterator[None]:
    """The signals as a terminal's process has them: tests in the background may ignore some."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_all_processes(
    sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
):
    monkeypatch.setattr(PROCESSES, "_start", child("import time; time.sleep(60)"))
    monkeypatch.setattr(PROCESSES.time, "sleep", lambda _: signal.raise_signal(number))
    began, before = time.monotonic(), signal.getsignal(number)
    with pytest.raises(Stopped, match="all processes") as found:
        run_local_workers(planned(sealed, config), devices=["cpu", "cpu"], threads=1)
    assert found.value.exit_code == 128 + number
    assert time.monotonic() - began < 30
    assert signal.getsignal(number) == before


@pytest.mark.usefixtures("heard")
def test_a_second_signal_acts_as_usual(
    sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch
):
    def twice(*_: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(PROCESSES, "_start", child("import time; time.sleep(60)"))
    monkeypatch.setattr(PROCESSES.time, "sleep", twice)
    with pytest.raises(KeyboardInterrupt):
        run_local_workers(planned(sealed, config), devices=["cpu"], threads=1)


# --- the command ---------------------------------------------------------------------------------


def asked(sealed: Any, out: Path, *more: str) -> list[str]:
    few = ("--seeds=1", "--epochs=1", "--batch=16", "--init=random", "--device=cpu")
    words = ["paper", str(sealed.path), f"--out={out}", "--arm=none", "--arm=gan", *few]
    return [*words, "--workers=1", "--min-positives=5", *more]


@pytest.mark.slow
def test_the_command_trains_compares_and_reports(shared: Any, tmp_path: Path):
    done = CliRunner().invoke(main, asked(shared, tmp_path / "paper"))
    assert done.exit_code == 0, done.output
    assert "Lung Lesion: " in done.output
    found = json.loads((tmp_path / "paper/report/report.json").read_text())
    assert [arm["title"] for arm in found["datasets"][0]["arms"]] == ["none", "gan"]
    before = (tmp_path / "paper/report/report.html").stat().st_mtime_ns
    again = CliRunner().invoke(main, asked(shared, tmp_path / "paper"))
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    assert (tmp_path / "paper/report/report.html").stat().st_mtime_ns == before
    other = CliRunner().invoke(main, asked(shared, tmp_path / "paper", "--lr=0.1"))
    assert other.exit_code == 2
    assert "was begun with lr 0.001, now it is 0.1" in other.output


def test_the_report_is_of_the_planned_runs_and_written_by_one_process_at_a_time(
    shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked_of = []

    def write(runs: tuple[Path, ...], out: Path, **_: Any) -> dict[str, Any]:
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(lambda: free(out)).result() is False
        asked_of.extend(runs)
        return {"datasets": [], "notes": []}

    monkeypatch.setattr("trainer.experiment.work", lambda _: True)
    monkeypatch.setattr("trainer.report.write.write_report", write)
    done = CliRunner().invoke(main, asked(shared, tmp_path))
    assert done.exit_code == 0, done.output
    assert asked_of == [tmp_path / "tiny/none-seed0", tmp_path / "tiny/gan-seed0"]


def test_the_grid_chooses_its_options_itself(shared: Any, tmp_path: Path):
    words = ["paper", str(shared.path), f"--out={tmp_path}", "--grid"]
    for option in ("--lr=0.001", "--batch=32", "--optimizer=adam"):
        refused = CliRunner().invoke(main, [*words, option])
        assert refused.exit_code == 2
        assert f"--grid chooses {option.partition('=')[0]} itself" in refused.output


def crew(sealed: Any, out: Path) -> "subprocess.Popen[str]":
    code = "from trainer.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *asked(sealed, out, "--jobs=2", "--seeds=2")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_share_the_runs_and_stop_together(shared: Any, tmp_path: Path):
    out = tmp_path / "paper"
    first = crew(shared, out)
    while not list(out.rglob("last.pt")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=120)
    assert first.returncode == 128 + signal.SIGTERM, said
    assert "Stopped" in said[1]
    assert not (out / "report").exists()
    again = crew(shared, out)
    said = again.communicate(timeout=600)
    assert again.returncode == 0, said
    assert said[0].count("Lung Lesion: ") == said[0].count("Files: ") == 1
    command = json.loads((out / "report/report.json").read_text())["command"]
    assert command.endswith("--jobs=2 --seeds=2")  # the user's own
    logs = "".join(path.read_text() for path in out.glob("job-*.log"))
    assert logs.count("] tiny, ") >= 4
    assert "Files: " not in logs
    for name in ("none-seed0", "gan-seed0", "none-seed1", "gan-seed1"):
        assert (out / "tiny" / name / "report.json").is_file()
    shutil.rmtree(out)


@pytest.mark.slow
def test_processes_stop_when_their_parent_is_killed(shared: Any, tmp_path: Path):
    out = tmp_path / "paper"
    parent = crew(shared, out)
    while not list(out.rglob("last.pt")):
        assert parent.poll() is None, parent.communicate()
        time.sleep(0.1)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    assert len(children) == 2
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 120
    while any(map(lives, children)):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert len([*out.rglob("report.json")]) < 4  # they did not go on with what was left
    assert all(free(path.parent) for path in out.rglob(".lock"))
    assert not (out / "report").exists()


def lives(process: str) -> bool:
    try:
        state = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended, and nobody asked


def free(run: Path) -> bool:
    with hold(run, wait=None) as held:
        return held
