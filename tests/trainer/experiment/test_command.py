"""xtrain experiment as a user calls it; `paper`, its old name, is the same command."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from builder.contract.lock import hold
from trainer.cli import main
from trainer.report import Report
from trainer.report.comparison_report import ReportSettings

Words = Callable[..., list[str]]


@pytest.fixture
def words(shared: Any) -> Words:
    """The function that gives the words of a short experiment: (out, *more)."""

    def make(out: Path, *more: str) -> list[str]:
        few = ("--seeds=1", "--epochs=1", "--batch=16", "--init=random", "--device=cpu")
        asked = ["experiment", str(shared.path), f"--out={out}", "--arm=none", "--arm=gan", *few]
        small = ("--network=shufflenet_v2_x0_5", "--workers=1", "--min-positives=5")
        return [*asked, *small, *more]

    return make


@pytest.fixture
def start(words: Words) -> Callable[[Path], "subprocess.Popen[str]"]:
    """The function that starts the command with two processes and two seeds: (out)."""

    def begin(out: Path) -> "subprocess.Popen[str]":
        code = "from trainer.cli import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", code, *words(out, "--jobs=2", "--seeds=2")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def is_free(folder: Path) -> bool:
    with hold(folder, wait=None) as held:
        return held


@pytest.mark.slow
def test_the_command_trains_compares_and_reports(
    words: Words, sealer: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "experiment"
    done = CliRunner().invoke(main, words(out))
    assert done.exit_code == 0, done.output
    assert "Lung Lesion: " in done.output
    found = json.loads((out / "report/report.json").read_text())
    assert [arm["title"] for arm in found["datasets"][0]["arms"]] == ["none", "gan"]
    before = (out / "report/report.html").stat().st_mtime_ns
    again = CliRunner().invoke(main, ["paper", *words(out)[1:]])
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    assert (out / "report/report.html").stat().st_mtime_ns == before
    there = sealer(tmp_path / "there", counts={("train", "real"): 9, ("test", "real"): 60})
    trained = {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")}
    done = CliRunner().invoke(main, words(out, f"--test={there.path}"))
    assert done.exit_code == 0, done.output
    assert "tiny, tested on tiny:" in done.output
    assert {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")} == trained
    found = json.loads((out / "report/report.json").read_text())
    (test,) = found["datasets"][0]["external"]
    assert [*test["arms"]] == ["none", "gan"]
    assert CliRunner().invoke(main, words(out)).exit_code == 0  # the report without it again
    assert not json.loads((out / "report/report.json").read_text())["datasets"][0]["external"]
    other = CliRunner().invoke(main, words(out, "--lr=0.1"))
    assert other.exit_code == 2
    assert "was begun with lr 0.001, now it is 0.1" in other.output


def test_the_report_is_of_the_planned_runs_and_written_by_one_process_at_a_time(
    words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Path] = []

    def write(runs: tuple[Path, ...], out: Path, **_: Any) -> Report:
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(lambda: is_free(out)).result() is False
        compared.extend(runs)
        settings = ReportSettings(
            level=0.05, resamples=1, seed=0, min_positives=5, few=50, specificity=0.9, bins=10
        )
        return Report(settings=settings, notes=(), datasets=(), command="", software={})

    monkeypatch.setattr("trainer.experiment.work", lambda _: True)
    monkeypatch.setattr("trainer.report.write.write_report", write)
    done = CliRunner().invoke(main, words(tmp_path))
    assert done.exit_code == 0, done.output
    assert compared == [tmp_path / "tiny/none-seed0", tmp_path / "tiny/gan-seed0"]


def test_the_grid_chooses_its_options_itself(shared: Any, tmp_path: Path) -> None:
    asked = ["experiment", str(shared.path), f"--out={tmp_path}", "--grid"]
    for option in ("--lr=0.001", "--batch=32", "--optimizer=adam"):
        refused = CliRunner().invoke(main, [*asked, option])
        assert refused.exit_code == 2
        assert f"--grid chooses {option.partition('=')[0]} itself" in refused.output


def stop(first: "subprocess.Popen[str]", out: Path) -> None:
    """Send SIGTERM once something is trained."""
    while not list(out.rglob("last.pt")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=120)
    assert first.returncode == 128 + signal.SIGTERM, said
    assert "Stopped" in said[1]
    assert not (out / "report").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [False, pytest.param(True, marks=pytest.mark.long)])
def test_two_processes_share_the_runs_and_stop_together(
    start: Callable[[Path], "subprocess.Popen[str]"], tmp_path: Path, stopped: bool
) -> None:
    out = tmp_path / "experiment"
    if stopped:
        stop(start(out), out)
    again = start(out)
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
@pytest.mark.long
def test_processes_stop_when_their_parent_is_killed(
    start: Callable[[Path], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    out = tmp_path / "experiment"
    parent = start(out)
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
    assert len([*out.rglob("report.json")]) < 4  # they did not train what was left
    assert all(is_free(path.parent) for path in out.rglob(".lock"))
    assert not (out / "report").exists()


def lives(process: str) -> bool:
    try:
        state = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # it has ended, but its parent has not asked
