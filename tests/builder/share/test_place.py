from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.contract import Index, Manifest, UsageError, load_index, load_manifest
from builder.share.known import read_known
from builder.share.place import (
    adopt,
    discard,
    is_proved,
    other_names,
    publish,
    seal_otherwise,
    take_over,
)
from builder.share.proof import Rebuilt
from builder.verify import verify

Hashes = Callable[[Path], dict[str, str]]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)


def test_a_shard_is_proved_by_its_bytes(sealed: Path, manifest: Manifest) -> None:
    shard = manifest.shardlist[0]
    assert is_proved(shard, sealed)
    flip(sealed / shard.url)
    assert not is_proved(shard, sealed)
    (sealed / shard.url).unlink()
    assert not is_proved(shard, sealed)


def test_proved_shards_are_linked_with_their_notes(
    sealed: Path, manifest: Manifest, tmp_path: Path
) -> None:
    bad = manifest.shardlist[1]
    flip(sealed / bad.url)
    adopt(manifest, None, sealed, tmp_path / "room")
    for shard in manifest.shardlist:
        new = tmp_path / "room" / shard.url
        assert new.exists() == (shard != bad)
        if shard != bad:
            assert new.samefile(sealed / shard.url)
            for ending in (".sketch", ".sha256"):
                old = (sealed / shard.url).with_suffix(ending)
                assert new.with_suffix(ending).read_bytes() == old.read_bytes()


@pytest.mark.parametrize("release", [False, True], ids=["index", "release"])
def test_notes_that_are_not_there_are_written_from_what_is_known(
    sealed: Path, shared_folder: Path, manifest: Manifest, tmp_path: Path, release: bool
) -> None:
    folder = shared_folder if release else sealed
    known = read_known(manifest, folder / "manifests" / "gan100.json")
    whole = {p.name + p.parent.name: p.read_bytes() for p in sealed.glob("shards/*/*.s[hk]*")}
    for path in sealed.glob("shards/*/*.s[hk]*"):
        path.unlink()
    adopt(manifest, known, sealed, tmp_path / "room")
    found = (tmp_path / "room").glob("shards/*/*.s[hk]*")
    made = {p.name + p.parent.name: p.read_bytes() for p in found}
    synthetic = {name: data for name, data in whole.items() if name.endswith("gan100")}
    assert made == (synthetic if release else whole)


def test_published_shards_have_all_their_files_and_the_tar_comes_last(
    sealed: Path, manifest: Manifest, tmp_path: Path, hashes: Hashes
) -> None:
    before = hashes(sealed / "shards")
    urls = [shard.url for shard in manifest.shardlist]
    publish(urls, sealed, tmp_path / "home", {})
    assert hashes(tmp_path / "home" / "shards") == before
    assert not list(sealed.glob("shards/*/*.tar"))


def test_a_link_of_a_published_shard_is_just_removed(
    sealed: Path, manifest: Manifest, tmp_path: Path, hashes: Hashes
) -> None:
    before = hashes(sealed)
    adopt(manifest, None, sealed, tmp_path / "room")
    publish([shard.url for shard in manifest.shardlist], tmp_path / "room", sealed, {})
    assert hashes(sealed) == before
    assert not [path for path in (tmp_path / "room").rglob("*") if path.is_file()]


def test_discarded_shards_leave_nothing(sealed: Path, manifest: Manifest) -> None:
    url = manifest.shardlist[0].url
    discard([url], sealed)
    assert not list((sealed / url).parent.glob(f"{Path(url).stem}.*"))
    assert len(list(sealed.glob("shards/*/*.tar"))) == len(manifest.shardlist) - 1


def test_other_names_never_meet_a_sealed_one() -> None:
    urls = ["shards/gan1/train-00000-of-00001.tar", "shards/real/train-00000-of-00001.tar"]
    assert other_names(urls, "gan1") == {
        urls[0]: "shards/gan1-rebuilt/train-00000-of-00001.tar",
        urls[1]: "shards/gan1-real-rebuilt/train-00000-of-00001.tar",
    }


def test_a_dataset_that_is_not_the_sealed_one_has_its_own_manifest_and_index(
    sealed: Path, manifest: Manifest, index: Index
) -> None:
    urls = [shard.url for shard in manifest.shardlist if shard.origin == "synthetic"]
    names = other_names(urls, manifest.name)
    publish(urls, sealed, sealed, names)
    rebuilt = Rebuilt(manifest=manifest, index=index, root=sealed)
    origin = {"rebuilt_from": {"name": "gan100"}}
    path = seal_otherwise(rebuilt, names, sealed, "gan100-rebuilt", origin)
    found = load_manifest(path)
    assert list(verify(path)) == []
    assert found.name == "gan100-rebuilt"
    assert found.source == {**manifest.source, **origin}
    assert (load_index(found, sealed).key == index.key).all()
    assert replace(found.shardlist[-1], url="") == replace(manifest.shardlist[-1], url="")


def test_a_shard_is_taken_over_with_its_notes_once(
    sealed: Path, manifest: Manifest, tmp_path: Path
) -> None:
    shard = sealed / manifest.shardlist[0].url
    target = tmp_path / "other" / manifest.shardlist[0].url
    for _ in range(2):
        take_over(shard, target)
        assert target.samefile(shard)
    names = {path.name for path in target.parent.iterdir()}
    notes = (".tar", ".idx", ".sketch", ".sha256")
    assert names == {"recipe.json", *(f"{shard.stem}{end}" for end in notes)}
    copy = tmp_path / "copy" / shard.name
    copy.parent.mkdir()
    copy.write_bytes(shard.read_bytes())
    take_over(shard, copy)
    flip(copy)
    with pytest.raises(UsageError, match="is another shard than"):
        take_over(shard, copy)


def test_where_there_are_no_links_files_are_copied(
    sealed: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    shard = sealed / manifest.shardlist[0].url
    take_over(shard, tmp_path / "far" / shard.name)
    assert (tmp_path / "far" / shard.name).read_bytes() == shard.read_bytes()
    assert not (tmp_path / "far" / shard.name).samefile(shard)
