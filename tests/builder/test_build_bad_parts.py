"""A shard none of whose images can be read is complete, in parts as in one go."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.blueprint import read_cohort
from builder.contract import load_manifest
from builder.engines.jobs import real_jobs
from builder.pack import FilePainter
from builder.recipe import Layout, RealRequest, resolve_real

Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]


@pytest.fixture
def options(clinic: Path, tmp_path: Path) -> list[object]:
    """Options of the clinic's dataset; one shard of its training images cannot be read."""
    request = RealRequest(dataset="table", labels=clinic, holdout=("0.1", "0.1"), shard_size=8)
    cohort = read_cohort(request)
    recipe = resolve_real(request, cohort.table)
    layout = Layout(root=tmp_path, pathologies=cohort.table.pathologies, image=recipe.image)
    jobs = real_jobs(recipe, cohort, layout, skip_bad=True)
    full = [job for job in jobs if len(job.samples) == 8 and job.samples[0].split == "train"]
    painter = full[1].painter
    assert isinstance(painter, FilePainter)
    for name in painter.names:
        (clinic.parent / name).write_bytes(b"no image")
    table = ["--dataset", "table", "--labels", clinic, "--holdout", 0.1, 0.1, "--image-size", 32]
    return [*table, "--shard-size", 8, "--skip-bad", "--workers", 1]


def dataset(out: Path, hashes: Hashes) -> dict[str, str]:
    """The hashes of what is sealed; reports of parts have names of their own."""
    return {name: found for name, found in hashes(out).items() if "/" in name}


def test_real_images_are_sealed_by_the_last_part(
    options: list[object], tmp_path: Path, xbuild: Xbuild, hashes: Hashes
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert xbuild("pack", *options, "--out", whole).returncode == 0
    for part in ("2/2", "1/2"):
        made = xbuild("pack", *options, "--out", parts, "--part", part)
        assert made.returncode == 0, made.stderr
    assert "Sealed" in made.stdout
    assert dataset(parts, hashes) == dataset(whole, hashes)
    manifest = load_manifest(parts / "manifests" / "real100.json")
    assert manifest.source["left_out"] == 8
    assert len([*(parts / "shards").rglob("*.sha256")]) == len(manifest.shardlist) + 1


@pytest.mark.slow
def test_a_part_of_bad_images_alone_is_complete(
    options: list[object], tmp_path: Path, xbuild: Xbuild
) -> None:
    codes = [
        xbuild("pack", *options, "--out", tmp_path / "out", "--part", f"{number}/9").returncode
        for number in range(1, 10)
    ]
    assert codes == [0] * 9
    assert (tmp_path / "out" / "manifests" / "real100.json").is_file()


@pytest.mark.slow
def test_synthetic_images_are_rendered_in_parts(
    options: list[object], tmp_path: Path, xbuild: Xbuild, hashes: Hashes
) -> None:
    more = ["--target", "Mass", "--share", 0.4]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for out in (whole, parts):
        assert xbuild("pack", *options, "--out", out).returncode == 0
    assert xbuild("synth", *options, *more, "--out", whole).returncode == 0
    for part in ("1/2", "2/2"):
        made = xbuild("synth", *options, *more, "--out", parts, "--part", part)
        assert made.returncode == 0, made.stderr
    assert "Sealed" in made.stdout
    assert dataset(parts, hashes) == dataset(whole, hashes)
