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
    arguments = " ".join(f'"{word}"' for word in [*small[1:], *SHARDS])
    (tmp_path / "options.sh").write_text(OPTIONS.format(arguments=arguments, epochs=1))
    return tmp_path


@pytest.fixture
def whole(tmp_path: Path, small: list[object], xbuild: Xbuild, hashes: Hashes) -> dict[str, str]:
    """The hashes of the dataset that was built in one go."""
    assert xbuild(*small, *SHARDS, "--out", tmp_path / "whole").returncode == 0
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
