"""An output folder belongs to one build at a time, and to the recipe that it was begun with."""

import errno
import fcntl
import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from builder.claim import check_name, check_shards, claimed, keep_recipes
from builder.contract import UsageError, load_manifest, save_manifest
from builder.contract.lock import holds
from builder.contract.new_file import new_file
from builder.recipe import Layout

Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]
Locked = Callable[[Path], AbstractContextManager[None]]


def leftover(out: Path) -> Path:
    """What a killed build had not finished to write."""
    path = out / "shards" / "real" / ".train-00000-of-00001.tar.1.tmp"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_the_builder_holds_the_lock_that_the_trainer_looks_at(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with claimed(out):
        assert holds(out)
    assert not holds(out)


def test_leftovers_are_removed_under_the_lock(tmp_path: Path) -> None:
    path = leftover(tmp_path)
    with claimed(tmp_path):
        assert not path.exists()


def test_what_a_worker_left_that_outlived_its_build_is_removed_at_the_end(tmp_path: Path) -> None:
    with claimed(tmp_path):
        path = leftover(tmp_path)
    assert not path.exists()


def test_another_builds_files_are_left_alone(tmp_path: Path, locked: Locked) -> None:
    path = leftover(tmp_path)
    with locked(tmp_path):
        with pytest.raises(UsageError, match="Another xbuild is writing into"), claimed(tmp_path):
            pass
        assert path.exists()


def test_without_locks_a_build_runs_and_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    path = leftover(tmp_path)
    with claimed(tmp_path):
        assert path.exists()


def test_two_builds_cannot_write_into_one_place(
    tmp_path: Path, small: list[object], xbuild: Xbuild, locked: Locked
) -> None:
    out = tmp_path / "out"
    with locked(out):
        done = xbuild(*small, "--out", out)
    assert done.returncode == 2
    assert "Another xbuild is writing" in done.stderr
    assert [path.name for path in out.iterdir()] == [".lock"]


def test_a_link_to_another_disk_is_refused_before_anything_is_made(
    tmp_path: Path, small: list[object], xbuild: Xbuild
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "shards").symlink_to(tmp_path / "disk")
    done = xbuild(*small, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "use the place that it leads to as --out" in done.stderr
    assert not list((tmp_path / "disk").iterdir())


@pytest.mark.parametrize("name", ["shards/real", "shards/real/train-00000-of-00001.tar"])
def test_a_link_below_the_shards_is_refused_and_nothing_outside_changes(
    tmp_path: Path, small: list[object], xbuild: Xbuild, name: str
) -> None:
    outside, link = tmp_path / "outside", tmp_path / "out" / name
    outside.mkdir()
    (outside / ".train-00000-of-00001.tar.1.tmp").write_bytes(b"mine")
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    done = xbuild(*small, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert "use the place that it leads to as --out" in done.stderr
    assert [path.read_bytes() for path in outside.iterdir()] == [b"mine"]


def test_what_another_part_is_writing_is_left_alone(tmp_path: Path) -> None:
    with new_file(tmp_path / "shards/gan10/train-00000-of-00002.tar") as file:
        with claimed(tmp_path):  # it ignores the lock of the folder, as over a drive without
            assert len([*tmp_path.glob("shards/gan10/.*.tmp")]) == 1
        file.write(b"whole")
    assert (tmp_path / "shards/gan10/train-00000-of-00002.tar").read_bytes() == b"whole"


def test_a_link_inside_and_an_out_that_is_a_link_work(
    tmp_path: Path, small: list[object], xbuild: Xbuild
) -> None:
    (tmp_path / "disk/data").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/shards").symlink_to("data")
    assert xbuild(*small, "--out", tmp_path / "out").returncode == 0
    assert xbuild("verify", tmp_path / "out/manifests/gan100.json").returncode == 0


# --- recipes --------------------------------------------------------------------------------------

CHANGES = {
    "share": ["--share", "0.25"],
    "upsample": ["--upsample"],
    "depth": ["--depth", "12"],
    "seed": ["--seed", "1"],
    "image_size": ["--image-size", "16"],
    "codec": ["--format", "png"],
    "targets": ["--target", "Edema"],
    "codec for another name": ["--name", "other", "--format", "png"],
}


@pytest.mark.parametrize("field", CHANGES)
def test_another_recipe_in_the_same_place_is_refused(
    built: Path, small: list[object], xbuild: Xbuild, hashes: Hashes, field: str
) -> None:
    before = hashes(built)
    done = xbuild(*small, *CHANGES[field], "--out", built)
    assert done.returncode == 2
    assert f"was begun with {field.split()[0]} =" in done.stderr
    assert "Traceback" not in done.stderr
    assert hashes(built) == before


def test_a_folder_in_which_nothing_is_finished_may_change(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    keep_recipes({one: {"seed": 0}})
    keep_recipes({one: {"seed": 1}})
    assert json.loads((one / "recipe.json").read_text()) == {"seed": 1}
    (one / "train-00000-of-00001.tar").touch()
    with pytest.raises(UsageError, match="was begun with seed = 1 and now 2 is asked for"):
        keep_recipes({other: {"seed": 2}, one: {"seed": 2}})
    assert not other.exists()  # all are compared before the first is written


def test_parts_of_a_recipe_are_compared_by_name_and_older_ones_are_not_mixed(
    tmp_path: Path,
) -> None:
    keep_recipes({tmp_path: {"table": {"match": "path", "readers": "any"}}})
    (tmp_path / "a.tar").touch()
    with pytest.raises(UsageError, match="was begun with match = 'path' and now 'stem' is asked"):
        keep_recipes({tmp_path: {"table": {"match": "stem", "readers": "any"}}})
    with pytest.raises(UsageError, match=r"by an earlier version, .*noted no depth\): use another"):
        keep_recipes({tmp_path: {"depth": 0, "table": {"match": "path", "readers": "any"}}})


def test_a_field_that_is_noted_where_it_is_unusual_is_compared_all_the_same(tmp_path: Path) -> None:
    usual, alone = tmp_path / "usual", tmp_path / "alone"
    for folder, recipe in ((usual, {"seed": 0}), (alone, {"seed": 0, "vectors": "alone"})):
        keep_recipes({folder: recipe})
        (folder / "a.tar").touch()
        keep_recipes({folder: recipe})
    with pytest.raises(UsageError, match="was begun with vectors = 'lp' and now 'alone' is asked"):
        keep_recipes({usual: {"seed": 0, "vectors": "alone"}})
    with pytest.raises(UsageError, match="was begun with vectors = 'alone' and now 'lp' is asked"):
        keep_recipes({alone: {"seed": 0}})


@pytest.mark.parametrize("damage", ["", "{", "[1]"])
def test_a_damaged_recipe_is_said(tmp_path: Path, damage: str) -> None:
    (tmp_path / "a.tar").touch()
    (tmp_path / "recipe.json").write_text(damage)
    with pytest.raises(UsageError, match=r"recipe\.json is damaged"):
        keep_recipes({tmp_path: {"seed": 0}})


def test_a_shard_of_another_plan_is_refused(layout: Layout) -> None:
    folder = layout.shards("gan10")
    folder.mkdir(parents=True)
    mine, other = folder / "a.tar", folder / "b.tar"
    mine.touch()
    check_shards(layout, folder, [mine])
    other.touch()
    with pytest.raises(UsageError, match=r"b\.tar belongs to another plan than today's"):
        check_shards(layout, folder, [mine])


def test_a_name_belongs_to_one_kind_of_dataset(built: Path) -> None:
    path = built / "manifests" / "gan100.json"
    with pytest.raises(UsageError, match="is a dataset of real and synthetic images"):
        check_name(path, {}, real_only=True)
    path.write_text("{")
    check_name(path, {}, real_only=True)  # what is damaged is sealed again
    check_name(built / "manifests" / "new.json", {}, real_only=True)


# --- manifests of datasets that were not built here ----------------------------------------------


@pytest.fixture
def lock_file(tmp_path: Path, built: Path) -> Path:
    """The manifest of what `small` builds, with its index, in a folder without any shard."""
    shutil.copytree(built / "manifests", tmp_path / "checkout/manifests")
    return tmp_path / "checkout/manifests/gan100.json"


def test_a_lock_file_of_another_recipe_is_not_replaced(
    lock_file: Path, small: list[object], xbuild: Xbuild, hashes: Hashes
) -> None:
    root = lock_file.parents[1]
    before = hashes(root)
    for part in ([], ["--part", "1/2"]):
        done = xbuild(*small, "--share", "0.25", "--out", root, *part)
        assert done.returncode == 2
        assert f"{lock_file} was begun with share = '0.2' and now '0.25'" in done.stderr
        assert "use another --name or --out" in done.stderr
    assert before.items() <= hashes(root).items()
    assert not [*root.rglob("*.tar")]
    manifest = load_manifest(lock_file)
    other = replace(manifest, software={**manifest.software, "numpy": "1.0"})
    save_manifest(other, lock_file)
    assert "was begun with numpy = '1.0' and" in xbuild(*small, "--out", root).stderr
    assert load_manifest(lock_file) == other


def test_a_lock_file_of_the_very_recipe_is_built_to_the_byte(
    lock_file: Path, small: list[object], xbuild: Xbuild
) -> None:
    before = lock_file.read_bytes()
    done = xbuild(*small, "--out", lock_file.parents[1])
    assert done.returncode == 0, done.stderr
    assert lock_file.read_bytes() == before


@pytest.mark.parametrize(("mark", "made"), [("merged", "merged"), ("rebuilt_from", "rebuilt")])
def test_what_was_merged_or_rebuilt_is_not_replaced(
    built: Path, small: list[object], xbuild: Xbuild, hashes: Hashes, mark: str, made: str
) -> None:
    manifest = load_manifest(built / "manifests/gan100.json")
    recipe, source = {**manifest.recipe, "name": "both"}, {**manifest.source, mark: []}
    other = replace(manifest, name="both", recipe=recipe, source=source)
    save_manifest(other, built / "manifests/both.json")
    before = hashes(built)
    done = xbuild(*small, "--name", "both", "--out", built)
    assert done.returncode == 2
    assert f"both.json was {made} from" in done.stderr
    assert hashes(built) == before


def test_parts_that_begin_at_once_agree_on_the_recipe(tmp_path: Path) -> None:
    keep_recipes({tmp_path: {"seed": 0}}, shared=True)
    keep_recipes({tmp_path: {"seed": 0}}, shared=True)
    with pytest.raises(UsageError, match="was begun with seed = 0 and now 1 is asked for"):
        keep_recipes({tmp_path: {"seed": 1}}, shared=True)  # though nothing is finished
