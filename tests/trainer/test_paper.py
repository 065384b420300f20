import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from builder.contract import CheckError, UsageError, load_manifest
from trainer.cli import main
from trainer.config import Config
from trainer.control import Stopped
from trainer.fit import Recipe
from trainer.paper import Paper, devices, estimate, pace, plan, work
from trainer.paper.pace import Pace, makespan
from trainer.remote import Cache
from trainer.sweep import hold

WORK = sys.modules["trainer.paper.work"]


@pytest.fixture
def config(recipe: Recipe, tmp_path: Path) -> Config:
    return Config(
        shards="", shards_root=None, out=tmp_path, device="cpu", workers=1, resume=True,
        recipe=replace(recipe, epochs=1, batch=16, arm="", augment="none"),
        skip_bad=False, ram_bytes=0, cache=Cache(folder=tmp_path / "cache", most_bytes=10**9),
        save_every=3600, track=(),
    )  # fmt: skip


def planned(sealed: Any, config: Config, **changes: Any) -> Paper:
    how: dict[str, Any] = {"arms": ("none", "gan"), "seeds": 2, "grid": False, "out": config.out}
    paths = changes.pop("paths", [str(sealed.path)])
    return plan(paths, config, **(how | changes))


def titles(paper: Paper) -> list[str]:
    return [f"{job.dataset} {job.arm} {job.config.recipe.seed}" for job in paper.jobs]


def finish(config: Config, digest: str) -> None:
    """What train() leaves, as far as the paper looks at it."""
    config.out.mkdir(parents=True, exist_ok=True)
    facts = {"config": asdict(config.recipe), "manifest": {"digest": digest}, "controls": "c"}
    (config.out / "report.json").write_text(json.dumps(facts | {"epochs": config.recipe.epochs}))


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
    paper = planned(sealed, config, arms=())
    arms = ("none", "flip", "gan", "oversample", "pretrain", "classweight")
    assert titles(paper) == [f"tiny {arm} {seed}" for seed in (0, 1) for arm in arms]
    assert paper.jobs[0].config.out == config.out / "tiny" / "none-seed0"
    assert paper.jobs[1].config.recipe.augment == "flip"
    assert planned(sealed, config, seeds=1).jobs[0].images == 129


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
    plain = sealer(tmp_path / "plain", counts={("train", "real"): 50, ("val", "real"): 20})
    with pytest.raises(UsageError, match="need synthetic images"):
        planned(plain, config, arms=("gan",))


def test_a_run_is_complete_when_its_report_is_of_this_recipe(sealed: Any, config: Config):
    job = planned(sealed, config).jobs[0]
    assert not job.complete()
    finish(job.config, job.digest)
    assert job.complete()
    assert not replace(job, config=replace(job.config, recipe=more(job.config.recipe))).complete()
    other = replace(job.config.recipe, lr=0.5)
    with pytest.raises(UsageError, match=r"was trained with lr 0\.001, now it is 0\.5"):
        replace(job, config=replace(job.config, recipe=other)).complete()
    with pytest.raises(UsageError, match="was trained with manifest"):
        replace(job, digest="0").complete()
    (job.config.out / "report.json").write_text("{")
    assert not job.complete()


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
    sealed: Any, config: Config, trained: list[str]
):
    paper = planned(sealed, config)
    with hold(paper.jobs[1].config.out, wait=False):
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
    with pytest.raises(CheckError, match=r"1 of 4 runs failed, .* tiny, gan, seed 0: The loss"):
        work(paper)
    assert trained == ["none-seed0", "none-seed1", "gan-seed1"]


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


# --- how long it takes ---------------------------------------------------------------------------


PACE = Pace(training=10, scoring=100, reading=1000, start=2, save=3)


def test_seconds_are_those_of_epochs_and_of_what_comes_once(sealed: Any, config: Config):
    job = replace(planned(sealed, config).jobs[0], images=50, val=200, test=1000)
    once = 2 + 1000 / 1000 + 1200 / 100
    assert PACE.seconds(job) == pytest.approx((50 / 10 + 200 / 100 + 3) + once)
    grid = replace(job, grid=config.out, first=True)
    assert PACE.seconds(grid) == pytest.approx(18 * PACE.seconds(job))
    assert PACE.seconds(replace(grid, first=False)) == PACE.seconds(job)


def test_makespan_is_of_runs_taken_up_in_order():
    assert makespan([], 2) == 0
    assert makespan([3, 1, 1, 1], 1) == 6
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([1, 1, 1, 3], 2) == 4


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_estimate_is_measured_and_counts_what_is_left(
    sealed: Any, config: Config, monkeypatch: pytest.MonkeyPatch, jobs: int
):
    monkeypatch.setattr(pace, "SECONDS", 0.2)
    paper = planned(sealed, config)
    finish(paper.jobs[0].config, paper.jobs[0].digest)
    rows, sentence = estimate(paper, jobs, threads=1)
    assert [*rows.columns[3].cells] == ["1", "2"]
    assert sentence.startswith("3 of 4 runs are left; they take about ")
    assert ("with 2 processes" in sentence) == (jobs == 2)
    assert "32×32 px: training" in sentence
    assert {path.name for path in config.out.iterdir()} <= {"data", "tiny"}  # nothing is kept


def test_each_gpu_gets_a_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert devices("auto", None) == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices("cuda", 4) == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert devices("cuda:1", 2) == ["cuda:1", "cuda:1"]
    assert devices("cpu", None) == ["cpu"]


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
    assert CliRunner().invoke(main, asked(shared, tmp_path / "paper")).exit_code == 0
    assert (tmp_path / "paper/report/report.html").stat().st_mtime_ns == before
    other = CliRunner().invoke(main, asked(shared, tmp_path / "paper", "--lr=0.1"))
    assert other.exit_code == 2
    assert "was trained with lr 0.001, now it is 0.1" in other.output


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
    assert (out / "report/report.html").is_file()
    logs = "".join(path.read_text() for path in out.glob("job-*.log"))
    assert logs.count("] tiny, ") >= 4
    for name in ("none-seed0", "gan-seed0", "none-seed1", "gan-seed1"):
        assert (out / "tiny" / name / "report.json").is_file()
    shutil.rmtree(out)
