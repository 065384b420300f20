"""A build into a bucket: the bytes of a local one, nothing left here, nothing done twice."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.contract import UsageError

There = Callable[[], dict[str, str]]
Inside = Callable[..., None]
Proxy = Any  # of the fixture
Files = Any  # fsspec has no types


@pytest.fixture
def into(small: list[object], place: str, tmp_path: Path) -> list[object]:
    """Arguments that build the small dataset into the bucket."""
    return [*small, "--workers", 1, "--out", place, "--work", tmp_path / "work"]


def test_a_bucket_gets_every_byte_of_a_local_build_and_nothing_is_left_here(
    into: list[object], inside: Inside, there: There, local: dict[str, str], tmp_path: Path
) -> None:
    inside(*into)
    assert there() == local
    left = {path.suffix for path in (tmp_path / "work" / "shards").rglob("*") if path.is_file()}
    assert left == {".json"}  # of recipes


def test_the_same_command_again_makes_and_sends_nothing(
    into: list[object],
    inside: Inside,
    proxy: Proxy,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    inside(*into)
    proxy.asked.clear()
    inside(*into[:-1], tmp_path / "elsewhere")  # as another machine would
    assert proxy.sent() == []
    assert not any(method == "GET" and ".tar" in path for method, path in proxy.asked)
    assert "Nothing was left to render." in capsys.readouterr().out


def test_parts_of_several_machines_end_in_one_dataset(
    into: list[object], inside: Inside, there: There, local: dict[str, str], tmp_path: Path
) -> None:
    inside(*into[:-1], tmp_path / "one", "--part", "2/2")
    assert "manifests/gan100.json" not in there()
    inside(*into[:-1], tmp_path / "two", "--part", "1/2")
    assert there() == local
    inside("seal", *into[1:-1], tmp_path / "three")
    assert there() == local


def test_seal_names_what_is_missing(
    into: list[object], inside: Inside, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside(*into, "--part", "1/2")
    assert "shards of other parts are not there yet" in capsys.readouterr().out
    with pytest.raises(Exception, match=r"3 of 7 shards are missing: shards/real/train-00001"):
        inside("seal", *into[1:-1], tmp_path / "other")


def test_another_recipe_is_refused_by_what_the_bucket_says(
    into: list[object], inside: Inside, place: str, proxy: Proxy, tmp_path: Path
) -> None:
    inside(*into, "--part", "1/9")
    before = len(proxy.sent())
    with pytest.raises(UsageError, match=rf"{place}/shards/gan100/recipe.json was begun with seed"):
        inside(*into[:-1], tmp_path / "other", "--seed", 1)
    assert len(proxy.sent()) == before


def test_a_lock_file_of_another_recipe_in_the_work_folder_stays(
    into: list[object], inside: Inside, built: Path, proxy: Proxy, tmp_path: Path
) -> None:
    shutil.copytree(built / "manifests", tmp_path / "work/manifests")
    lock_file = tmp_path / "work/manifests/gan100.json"
    before, sent = lock_file.read_bytes(), len(proxy.sent())
    with pytest.raises(UsageError, match=r"gan100\.json was begun with share"):
        inside(*into, "--share", "0.25")
    assert lock_file.read_bytes() == before
    assert len(proxy.sent()) == sent


def test_a_shard_of_another_plan_is_refused(
    into: list[object], inside: Inside, place: str, s3: Files
) -> None:
    s3.pipe_file(f"{place}/shards/gan100/train-00009-of-00010.tar", b"another's")
    with pytest.raises(UsageError, match=r"s3://.*00009-of-00010\.tar belongs to another plan"):
        inside(*into)


def test_pack_sends_real_images_alone(
    clinic: Path, inside: Inside, place: str, there: There, local: dict[str, str]
) -> None:
    options = ("--dataset", "table", "--labels", clinic, "--image-size", 32, "--shard-size", 16)
    inside("pack", *options, "--holdout", 0.1, 0.1, "--workers", 1, "--out", place)
    real = {path: sha for path, sha in local.items() if path.startswith("shards/real/")}
    assert real.items() <= there().items()
    assert {*there()} - {*real} == {"manifests/real100.json", "manifests/real100.parquet"}


def test_checks_that_read_real_images_get_them_back(
    into: list[object], inside: Inside, there: There, tmp_path: Path
) -> None:
    check = ("--check", "copy:0.3", "--holdout", 0.2, 0.1, "--shard-size", 64)
    inside(*into, *check)
    inside(*into[:-4], *check, "--out", tmp_path / "here")
    assert there()["manifests/gan100.json"] == _sha256(tmp_path / "here/manifests/gan100.json")
    assert not [*(tmp_path / "work").rglob("*.tar")]


def test_duplicates_are_found_before_a_shard_is_sent(
    into: list[object], inside: Inside, there: There, tmp_path: Path
) -> None:
    inside(*into, "--check", "duplicate", "--shard-size", 64)
    inside(*into[:-4], "--check", "duplicate", "--shard-size", 64, "--out", tmp_path / "here")
    assert there()["manifests/gan100.json"] == _sha256(tmp_path / "here/manifests/gan100.json")
    assert not [*(tmp_path / "work").rglob("*.tar")]


@pytest.mark.parametrize("part", [("synth", "--part", "1/2"), ("seal",)])
def test_parts_cannot_be_compared_in_a_bucket(
    into: list[object], inside: Inside, part: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match="leave out --part, or the check"):
        inside(part[0], *into[1:], *part[1:], "--check", "duplicate")


def test_images_of_patients_never_go_onto_the_hub(
    into: list[object], inside: Inside, clinic: Path
) -> None:
    hub = ("--out", "hf://datasets/chest/set")
    with pytest.raises(UsageError, match="where images of patients never go: add --real none"):
        inside(*into, *hub)
    with pytest.raises(UsageError, match="where images of patients never go"):
        inside("pack", "--dataset", "table", "--labels", clinic, "--holdout", 0.1, 0.1, *hub)


def _sha256(path: Path) -> str:
    from builder.contract import sha256_file

    return sha256_file(path)
