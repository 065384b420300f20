"""A dataset that travels between two people, each with a home, a copy of the images, a folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import load_manifest

Hashes = Callable[[Path], dict[str, str]]

SAID = (
    "--license=cc-by-4.0 --creator=Anna --contact=anna@example.org --date=2026-11-29 "
    "--intended-use=Research. --source-terms=Stay."
)


class Person:
    """Somebody with a home of their own, in which the clinic's images lie."""

    def __init__(self, home: Path, clinic: Path) -> None:
        self.home = home
        shutil.copytree(clinic, home / "images")

    def run(self, line: str) -> str:
        """What an installed command prints in this home."""
        program, *words = line.split()
        own = {"HOME": str(self.home), "XDG_CACHE_HOME": "", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *words],
            cwd=self.home,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.mark.slow
def test_what_one_builds_and_shares_another_pulls_rebuilds_and_trains_on(
    tmp_path: Path, sealed_once: Path, hashes: Hashes
) -> None:
    clinic = sealed_once.parent / "clinic"
    anna, ben = Person(tmp_path / "anna", clinic), Person(tmp_path / "ben", clinic)
    anna.run(
        "xbuild synth --dataset table --labels images/labels.csv --uncertain mask --image-size 32 "
        "--target Mass --target Pleural_Thickening --holdout 0.1 0.1 --share 0.2 --shard-size 16 "
        "--workers 1"
    )
    anna.run(f"xbuild share manifests/gan100.json --to release --labels images/labels.csv {SAID}")
    built = load_manifest(anna.home / "manifests" / "gan100.json")
    shards = {shard.url: shard.sha256 for shard in built.shardlist}
    shutil.move(anna.home / "release", ben.home / "disk")
    shutil.rmtree(anna.home)  # nothing of hers is needed

    said = ben.run(f"xbuild pull disk --digest {built.digest}")
    assert f"every byte as it was shared (digest {built.digest})" in said
    path = "gan100/manifests/gan100.json"
    said = ben.run(f"xbuild rebuild {path} --labels images/labels.csv --workers 1")
    assert f"each with the sha256 that was sealed (digest {built.digest})" in said
    assert load_manifest(ben.home / path).digest == built.digest
    found = hashes(ben.home / "gan100")
    assert {url: found[url] for url in shards} == shards

    ben.run(
        f"xtrain --shards {path} --epochs 1 --init random --batch 64 --min-positives 1 --out run "
        "--workers 1 --network shufflenet_v2_x0_5"
    )
    assert (ben.home / "run" / "report.json").is_file()
