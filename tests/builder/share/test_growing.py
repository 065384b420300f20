from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from builder.contract import UsageError, sha256_bytes
from builder.share.growing import Place, check_space, copied, grown


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path / "above" / "set", command="xbuild pull", option="--out")


def test_it_appears_when_the_block_ends(place: Place) -> None:
    with grown(place, set()) as inner:
        (inner / "a").write_text("a")
        assert not place.folder.exists()
    assert [path.name for path in place.folder.iterdir()] == ["a"]
    assert list(place.folder.parent.iterdir()) == [place.folder]


def test_after_an_error_only_what_is_wanted_is_there_again(place: Place) -> None:
    def fail() -> None:
        with grown(place, set()) as inner:
            (inner / "data").mkdir()
            (inner / "data" / "a").write_text("a")
            (inner / "data" / "b").write_text("b")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert not place.folder.exists()
    with grown(place, {"data/a"}) as inner:
        assert [path.name for path in (inner / "data").iterdir()] == ["a"]
    assert (place.folder / "data" / "a").read_text() == "a"


def test_something_else_in_its_place_stays(place: Place) -> None:
    place.folder.mkdir(parents=True)
    (place.folder / "mine").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"), grown(place, set()) as inner:
        (inner / "a").write_text("a")
    assert [path.name for path in place.folder.iterdir()] == ["mine"]


def test_two_at_a_time_are_kept_apart(
    place: Place, locked: Callable[[Path], AbstractContextManager[None]]
) -> None:
    place.work.mkdir(parents=True)
    with locked(place.work):
        with pytest.raises(UsageError, match="Another xbuild pull is writing"):
            grown(place, set()).__enter__()
        assert not place.folder.exists()
    with grown(place, set()):
        pass
    assert place.folder.is_dir()


def test_too_little_room_is_said(tmp_path: Path) -> None:
    place = Place(folder=tmp_path / "set", command="xbuild pull", option="--out")
    check_space(place, 0)
    with pytest.raises(UsageError, match=r"needs 1000000000\.00 GB .* next to --out"):
        check_space(place, 10**18)


@pytest.mark.parametrize("name", ["", "release"])
def test_a_link_where_it_grows_is_refused_and_nothing_there_is_removed(
    place: Place, tmp_path: Path, name: str
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/mine").write_text("mine")
    link = place.work / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "outside")
    with pytest.raises(UsageError, match="is a link, which is not followed: remove it"):
        grown(place, set()).__enter__()
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["mine"]


def test_links_inside_are_removed_and_a_copy_is_written_through_none(
    place: Place, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_text("mine")
    (place.work / "release").mkdir(parents=True)
    (place.work / "release/data").symlink_to(outside)
    (place.work / "release/.a.tmp").symlink_to(outside / "a")
    (tmp_path / "source").write_text("new")
    with grown(place, {"data", "data/a", ".a.tmp"}) as inner:
        (inner / "data").mkdir()
        assert copied(
            tmp_path / "source", 3, sha256_bytes(b"new"), inner / "data/a", lambda _: None
        )
        assert copied(tmp_path / "source", 3, sha256_bytes(b"new"), inner / "a", lambda _: None)
    assert (place.folder / "data/a").read_text() == "new"
    assert (outside / "a").read_text() == "mine"
