"""The scripts of docs/scale.md, as they stand there, with a stand-in for Slurm."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
BIN = Path(sys.executable).parent

# Runs a script at once, each number of its array in turn. A job whose dependency failed never runs.
SBATCH = r"""#!PYTHON
import os, re, subprocess, sys
from pathlib import Path

jobs = Path("jobs")
jobs.mkdir(exist_ok=True)
script = Path(sys.argv[-1])
dependency = [word.split(":")[1] for word in sys.argv if word.startswith("--dependency=afterok:")]
job = str(1000 + len(list(jobs.iterdir())))
array = re.search(r"--array=(\d+)-(\d+)", script.read_text())
numbers = range(int(array[1]), int(array[2]) + 1) if array else [None]
ok = all((jobs / each).read_text() == "0" for each in dependency)
for number in numbers if ok else []:
    env = dict(os.environ, SLURM_JOB_ID=job)
    if number is not None:
        env["SLURM_ARRAY_TASK_ID"] = str(number)
    with open(f"slurm-{job}_{number}.out", "w") as out:
        done = subprocess.run(["bash", script], env=env, stdout=out, stderr=out)
    ok = ok and done.returncode == 0
(jobs / job).write_text("0" if ok else "1")
print(job if "--parsable" in sys.argv else f"Submitted batch job {job}")
"""
SRUN = '#!/bin/sh\nexec "$@"\n'
OPTIONS = """
PARTS=2
BUILD=({arguments} --out out --workers 1)
RUN=(--shards out/manifests/gan100.json --out run --network resnet18 --init random --epochs 1
     --batch 32 --device cpu)
"""


def scripts() -> dict[str, str]:
    """The files of the page by their names."""
    return dict(re.findall(r"<!-- ([\w.]+) -->\n```bash\n(.*?)```", PAGE.read_text(), re.S))


@pytest.fixture
def cluster(tmp_path: Path, small: list[object]) -> Path:
    """A folder with the page's scripts, for a small dataset and two parts, and with Slurm."""
    for name, text in scripts().items():
        (tmp_path / name).write_text(text.replace("--array=1-16", "--array=1-2"))
    arguments = " ".join(f'"{word}"' for word in small[1:])
    (tmp_path / "options.sh").write_text(OPTIONS.format(arguments=arguments))
    commands = {"sbatch": SBATCH.replace("PYTHON", sys.executable), "srun": SRUN}
    for name, text in commands.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return tmp_path


def submit(cluster: Path) -> str:
    env = dict(os.environ, PATH=f"{cluster / 'bin'}:{BIN}:{os.environ['PATH']}")
    done = subprocess.run(
        ["bash", "submit.sh"], cwd=cluster, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return "".join(path.read_text() for path in sorted(cluster.glob("slurm-*.out")))


@pytest.mark.slow
@pytest.mark.long
def test_parts_are_rendered_sealed_and_trained_on(cluster: Path) -> None:
    said = submit(cluster)
    assert "Part 1/2 is complete." in said
    assert said.count("Sealed out/manifests/gan100.json") == 2  # the last part, and the seal
    assert (cluster / "run" / "report.json").is_file(), said
    assert {path.read_text() for path in (cluster / "jobs").iterdir()} == {"0"}


def test_a_failed_part_stops_what_depends_on_it(cluster: Path) -> None:
    (cluster / "bin" / "srun").write_text("#!/bin/sh\nexit 1\n")
    submit(cluster)
    assert [path.name for path in sorted(cluster.glob("slurm-*.out"))] == [
        "slurm-1000_1.out",
        "slurm-1000_2.out",
    ]


def test_the_page_has_all_scripts_and_they_are_bash(
    tmp_path: Path, xbuild: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert {*scripts()} == {
        "options.sh",
        "synth.sbatch",
        "seal.sbatch",
        "train.sbatch",
        "submit.sh",
    }
    for name, text in scripts().items():
        (tmp_path / name).write_text(text)
        subprocess.run(["bash", "-n", name], cwd=tmp_path, check=True)
    words = re.search(r"BUILD=\((.*?)\)", scripts()["options.sh"], re.S)
    assert words
    refused = xbuild("synth", *words[1].split(), "--part", "1/16")
    assert refused.returncode == 2
    assert "/shared/chexpert256.safetensors" in refused.stderr  # all options are understood
