from pathlib import Path
from typing import Any

import pytest

from builder.contract import CheckError, UsageError
from builder.store import Cache
from builder.store.dataset import split_url
from trainer.stream.locate import locate


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(folder=tmp_path / "cache", max_bytes=10**9)


def test_a_manifest_on_disk_is_found_with_its_shards(sealed: Any, cache: Cache) -> None:
    found = locate(str(sealed.path), None, cache)
    assert found.manifest == sealed.manifest
    assert len(found.index) == len(sealed.index)
    for shard in sealed.manifest.shardlist:
        assert found.source.prove(shard)[0] == sealed.root / shard.url


def test_shards_may_have_another_root(sealed: Any, cache: Cache, tmp_path: Path) -> None:
    (sealed.root / "shards").rename(tmp_path / "shards")
    found = locate(str(sealed.path), str(tmp_path), cache)
    shard = sealed.manifest.shardlist[0]
    assert found.source.prove(shard)[0] == tmp_path / shard.url
    with pytest.raises(CheckError) as error:
        locate(str(sealed.path), None, cache).source.prove(shard)[0]
    assert str(error.value) == (
        f"{sealed.path}: its shards are not here: xbuild rebuild {sealed.path} "
        f"({shard.url} is missing under {sealed.root}; --shards-root names another folder)."
    )


def test_a_dataset_without_its_index_says_how_to_make_it(sealed: Any, cache: Cache) -> None:
    (sealed.root / sealed.manifest.index.url).unlink()
    with pytest.raises(CheckError) as error:
        locate(str(sealed.path), None, cache)
    assert str(error.value) == (
        f"{sealed.path}: its index is not here: xbuild rebuild {sealed.path} "
        f"({sealed.manifest.index.url} is missing under {sealed.root})."
    )


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://b/data/manifests/gan10.json", ("s3://b/data", "manifests/gan10.json")),
        ("s3://b/data/gan10.json", ("s3://b/data", "gan10.json")),
        ("https://h/manifests/x.json", ("https://h", "manifests/x.json")),
    ],
)
def test_the_root_of_a_url_is_found_as_that_of_a_file(url: str, parts: tuple[str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("url", ["s3://b/data/manifests", "https://h/x.tar"])
def test_a_url_that_names_no_manifest_is_refused(url: str, cache: Cache) -> None:
    with pytest.raises(UsageError, match="is no manifest: its name should end like"):
        locate(url, None, cache)


@pytest.mark.parametrize("url", ["pipe://x/manifests/m.json", "file:///etc/manifests/m.json",
                                 "simplecache::s3://b/manifests/m.json"])  # fmt: skip
def test_other_schemes_are_refused(url: str, cache: Cache) -> None:
    with pytest.raises(UsageError):
        locate(url, None, cache)
