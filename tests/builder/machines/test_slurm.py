"""The scripts of docs/scale.md on a real Slurm: a controller and two nodes, all on this machine."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long]

Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]

PAGE = Path(__file__).parents[3] / "docs" / "scale.md"
SHARDS = ("--share", "0.4", "--shard-size", "8", "--workers", "1")
LARGE = ("--image-size", "160", "--upsample")  # parts take long enough to be disturbed
OPTIONS = """
PARTS=2
BUILD=({arguments} --out out)
RUN=(--shards out/manifests/gan100.json --out run --network resnet18 --init random
     --epochs {epochs} --batch 32 --device cpu)
"""
CHANGED = {"--array=1-16": "--array=1-2", "--gpus-per-node=4": "--gpus-per-node=2"}


@pytest.fixture
def place(tmp_path: Path, small: list[object]) -> Path:
    """A folder with the page's scripts, for two parts of a small dataset."""
    for name, text in re.findall(r"<!-- ([\w.]+) -->\n```bash\n(.*?)```", PAGE.read_text(), re.S):
        for old, new in CHANGED.items():
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
    arguments = " ".join(f'"{word}"' for word in [*small[1:], *SHARDS, *LARGE])
    (tmp_path / "options.sh").write_text(OPTIONS.format(arguments=arguments, epochs=1))
    return tmp_path


@pytest.fixture
def whole(tmp_path: Path, small: list[object], xbuild: Xbuild, hashes: Hashes) -> dict[str, str]:
    """The hashes of the dataset that was built in one go."""
    assert xbuild(*small, *SHARDS, *LARGE, "--out", tmp_path / "whole").returncode == 0
    return hashes(tmp_path / "whole")


def said(place: Path) -> str:
    return "".join(path.read_text() for path in sorted(place.glob("slurm-*.out")))


def test_the_scripts_of_the_page_run(
    slurm: Any, comes: Any, place: Path, whole: dict[str, str], hashes: Hashes
) -> None:
    before = {*slurm.jobs()}
    slurm.said("bash", "submit.sh", cwd=place)
    assert comes(slurm.ended, 300), said(place)
    jobs = {number: state for number, state in slurm.jobs().items() if number not in before}
    assert len(jobs) == 4  # two parts, the seal, the training
    assert {state.split()[0] for state in jobs.values()} == {"COMPLETED"}, said(place)
    parts = {state.split()[1] for number, state in jobs.items() if "_" in number}
    assert parts == {"one", "two"}  # at once, on two nodes
    assert hashes(place / "out") == whole
    assert (place / "run" / "report.json").is_file(), said(place)


def test_a_part_that_was_preempted_runs_again(
    slurm: Any, comes: Any, place: Path, whole: dict[str, str], hashes: Hashes
) -> None:
    number = slurm.said("sbatch", "--parsable", "synth.sbatch", cwd=place).strip()
    assert comes(lambda: [*(place / "out" / "shards").rglob("*.tar")], 60), said(place)
    urgent = ("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--wrap=sleep 1")
    slurm.said(*urgent, cwd=place)
    assert comes(slurm.ended, 120), slurm.jobs()
    for part in ("1", "2"):
        job = slurm.said("scontrol", "show", "job", f"{number}_{part}")
        assert "JobState=COMPLETED" in job, job
        assert "Restarts=1" in job, job
    assert hashes(place / "out") == whole
    assert not [*(place / "out").rglob("*.tmp")]


def test_a_training_saves_at_slurms_signal_and_goes_on_when_it_is_submitted_again(
    slurm: Any, comes: Any, place: Path, built_once: Path
) -> None:
    (place / "out").symlink_to(built_once)
    (place / "options.sh").write_text(OPTIONS.format(arguments="", epochs=12))
    run = place / "run"
    number = slurm.said("sbatch", "--parsable", "train.sbatch", cwd=place).strip()
    assert comes((run / "last.pt").is_file, 120), said(place)
    slurm.said("scancel", "--signal=TERM", number)  # as --signal does, to the job's steps
    assert comes(slurm.ended, 60), said(place)
    assert "JobState=FAILED" in slurm.said("scontrol", "show", "job", number)
    assert not (run / "report.json").exists()
    # Epochs that are made again take another time, and so have another line here.
    before = (run / "timing.csv").read_text()
    slurm.said("sbatch", "--parsable", "train.sbatch", cwd=place)
    assert comes(slurm.ended, 300), said(place)
    assert (run / "report.json").is_file(), said(place)
    assert (run / "timing.csv").read_text().startswith(before)
    assert len(before.splitlines()) < len((run / "history.csv").read_text().splitlines()) == 13
