"""A dataset behind a URL is a folder for as long as it is needed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.contract import CheckError, Manifest, UsageError, load_manifest, sha256_file
from builder.store import Remote
from builder.store.dataset import Near, check_present, near, split_url

Far = Any  # of the fixture


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def far(web: Far, built_once: Path) -> Far:
    """A sealed dataset behind a web server."""
    for path in sorted(built_once.rglob("*")):
        if path.is_file():
            web.put(path.relative_to(built_once).as_posix(), path.read_bytes())
    return web


@pytest.fixture
def found(far: Far) -> Iterator[Near]:
    with near(f"{far.url}/manifests/gan100.json", cached=False) as here:
        yield here


@pytest.fixture
def manifest(built_once: Path) -> Manifest:
    return load_manifest(built_once / "manifests" / "gan100.json")


def test_a_file_is_where_it_is(tmp_path: Path, manifest: Manifest) -> None:
    with near(tmp_path / "a.json") as here:
        assert here.path == tmp_path / "a.json"
        here.bring_all(manifest.shardlist)
        here.expect(manifest.shardlist)
        here.drop(manifest.shardlist[0])
        check_present(here, manifest)
    assert not [*tmp_path.iterdir()]


def test_manifest_and_index_come_at_once_and_shards_when_asked_for(
    found: Near, manifest: Manifest, built_once: Path
) -> None:
    assert load_manifest(found.path) == manifest
    assert (found.folder / manifest.index.url).is_file()
    assert not (found.folder / "shards").exists()
    shard = manifest.shardlist[0]
    found.expect([shard])
    found.bring(shard)
    found.bring(shard)
    assert sha256_file(found.folder / shard.url) == shard.sha256
    idx = Path(shard.url).with_suffix(".idx")
    assert (found.folder / idx).read_bytes() == (built_once / idx).read_bytes()
    found.drop(shard)
    assert not [path for path in (found.folder / "shards").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "not valid JSON"), (b'{"schema": 9}', "has schema 9"), (b"[]", "schema None")],
)
def test_a_damaged_manifest_is_named_as_it_was_asked_for(far: Far, data: bytes, why: str) -> None:
    far.put("manifests/gan100.json", data)
    url = f"{far.url}/manifests/gan100.json"
    with pytest.raises(CheckError, match=why) as said, near(url):
        pass
    assert str(said.value).startswith(url)
    assert "near-" not in str(said.value)


def test_what_was_damaged_on_its_way_is_read_again(
    far: Far, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = Remote.read, []

    def damaged(remote: Remote, path: str, **how: Any) -> bytes:
        asked.append(path)
        return read(remote, path, **how) if asked.count(path) > 1 else b"{"

    monkeypatch.setattr(Remote, "read", damaged)
    with near(f"{far.url}/manifests/gan100.json") as here:
        assert load_manifest(here.path) == manifest


def test_another_index_is_refused_at_once(far: Far, manifest: Manifest) -> None:
    far.put(manifest.index.url, b"PAR1")
    message = rf"The file {manifest.index.url} at {far.url} is not the sealed one"
    with pytest.raises(CheckError, match=message), near(f"{far.url}/manifests/gan100.json"):
        pass


def test_all_of_them_come_and_are_counted(found: Near, manifest: Manifest) -> None:
    told: list[int] = []
    check_present(found, manifest)
    found.bring_all(manifest.shardlist, told.append)
    assert told == [shard.nsamples for shard in manifest.shardlist]
    assert all((found.folder / shard.url).is_file() for shard in manifest.shardlist)


def test_nothing_is_left_but_what_the_cache_keeps(
    far: Far, manifest: Manifest, tmp_path: Path
) -> None:
    shard = manifest.shardlist[0]
    with near(f"{far.url}/manifests/gan100.json") as here:
        here.bring(shard)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {shard.sha256, ".lock"}


def test_what_a_killed_process_left_goes_and_what_another_one_uses_stays(
    far: Far, found: Near, tmp_path: Path
) -> None:
    killed = tmp_path / "cxr-rebalance" / "near-killed"
    killed.mkdir()
    for name in (".lock", "image"):
        (killed / name).touch()
    with near(f"{far.url}/manifests/gan100.json") as here:
        assert found.path.is_file()
        assert not killed.exists()
        assert {each.name for each in killed.parent.glob("near-*")} == {
            found.folder.name,
            here.folder.name,
        }


def test_a_shard_of_another_size_is_named_without_waiting(
    found: Near, far: Far, manifest: Manifest
) -> None:
    shard = manifest.shardlist[0]
    far.put(shard.url, b"short")
    with pytest.raises(CheckError, match=rf"{shard.url} .* has 5 bytes, but the manifest says"):
        found.bring(shard)
    with pytest.raises(CheckError, match="has 5 bytes"):
        check_present(found, manifest)


def test_where_there_are_no_hard_links_a_shard_is_copied(
    found: Near, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    found.bring(manifest.shardlist[0])
    assert (found.folder / manifest.shardlist[0].url).is_file()


def test_a_shard_that_was_evicted_meanwhile_is_fetched_again(
    found: Near, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., None] = os.link
    evicted: list[Path] = []

    def evict(old: Path, new: Path) -> None:
        if not evicted:
            evicted.append(old)
            old.unlink()
        real(old, new)

    monkeypatch.setattr("os.link", evict)
    found.bring(manifest.shardlist[0])
    assert (found.folder / manifest.shardlist[0].url).is_file()


@pytest.mark.parametrize(
    ("url", "root", "below"),
    [
        ("s3://b/set/manifests/a.json", "s3://b/set", "manifests/a.json"),
        ("https://host/a.json", "https://host", "a.json"),
    ],
)
def test_a_root_is_above_manifests(url: str, root: str, below: str) -> None:
    assert split_url(url) == (root, below)


def test_a_folder_is_no_manifest() -> None:
    with pytest.raises(UsageError, match="s3://b/set is no manifest"):
        split_url("s3://b/set")
    with pytest.raises(UsageError, match=r"^https://host/a\.json is no manifest"):
        split_url("https://me:geheim@host/a.json?token=geheim")
