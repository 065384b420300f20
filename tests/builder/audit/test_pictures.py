"""Images out of sealed shards: in order, checked, and never many at once."""

import errno
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builder.audit.pictures import SIDE, Pictures, open_sealed, read_pictures, resized
from builder.contract import Bytes, CheckError, UsageError

MakePictures = Callable[..., Pictures]
Chests = Callable[[int, int], Bytes]


def quiet(*_: object) -> Any:
    return nullcontext(lambda _: None)


def images_of(pictures: Pictures) -> Bytes:
    return np.concatenate([*pictures.blocks()])


def test_a_sealed_dataset_is_read_by_origin_and_split(sealed: Path, tmp_path: Path) -> None:
    done: list[int] = []
    found = open_sealed(sealed / "manifests" / "gan100.json", advance=done.append)
    assert sum(done) == len(found.index)
    synthetic = found.rows("synthetic", ["train"])
    assert len(synthetic) == sum(
        shard.nsamples for shard in found.manifest.shardlist if shard.origin == "synthetic"
    )
    held_out = read_pictures(found, found.rows("real", ["val", "test"]), tmp_path, quiet)
    train = read_pictures(found, found.rows("real", ["train"]), tmp_path, quiet)
    assert len(synthetic) + len(held_out) + len(train) == len(found.index)
    assert not {*held_out.patients} & {*train.patients}
    assert train.reduced.shape == (len(train), 32, 32)
    assert (images_of(train) == train.reduced).all()  # no side is longer than 64
    pictures = read_pictures(found, synthetic, tmp_path, quiet)
    assert (pictures.patients == pictures.keys).all()
    assert [path.name for path in tmp_path.iterdir()] == ["sealed"]  # whatever ends the process
    assert pictures.labels.shape == (len(synthetic), len(found.manifest.pathologies))
    assert (pictures.group("view") == "").all()


def test_pathologies_are_taken_by_name(sealed: Path) -> None:
    found = open_sealed(sealed / "manifests" / "gan100.json")
    names = found.manifest.pathologies
    turned = found.with_pathologies(names[::-1])
    assert turned.manifest.pathologies == names[::-1]
    assert (turned.index.labels == found.index.labels[:, ::-1]).all()
    assert found.with_pathologies(names[:1]).index.labels.shape[1] == 1


def test_blocks_and_chosen_ones_keep_the_order(make_pictures: MakePictures, chests: Chests) -> None:
    images = chests(10, 0)
    pictures = make_pictures(images)
    assert (np.concatenate([*pictures.blocks(3)]) == images).all()
    assert [len(block) for block in pictures.blocks(4)] == [4, 4, 2]
    chosen = pictures.take(np.array([7, 2]))
    assert (images_of(chosen) == images[[7, 2]]).all()
    assert (chosen.reduced == images[[7, 2]]).all()
    assert [*chosen.keys] == [pictures.keys[7], pictures.keys[2]]
    mask = np.arange(10) % 2 == 0
    assert (images_of(pictures.take(mask)) == images[mask]).all()


@pytest.mark.parametrize("how", ["BOX", "BILINEAR", "LANCZOS"])
def test_an_image_is_resized_as_pillow_does_or_not_at_all(chests: Chests, how: str) -> None:
    (image,) = chests(1, 0)
    assert resized(image, 64, 64, how) is image
    found = resized(image, 24, 80, how)
    assert found.shape == (24, 80)
    pillow = Image.fromarray(image).resize((80, 24), Image.Resampling[how])
    assert (found == np.asarray(pillow)).all()


def test_a_large_image_is_reduced_by_the_means_of_areas(make_pictures: MakePictures) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (2, 2 * SIDE, SIDE), np.uint8)
    reduced = make_pictures(images).reduced
    assert reduced.shape == (2, SIDE, SIDE)
    small = Image.fromarray(images[1]).resize((SIDE, SIDE), Image.Resampling.BOX)
    assert (reduced[1] == np.asarray(small)).all()


def test_no_images_are_no_images(make_pictures: MakePictures, tmp_path: Path) -> None:
    some = make_pictures(np.zeros((2, 16, 16), np.uint8))
    none = read_pictures(some.sealed, some.rows[:0], tmp_path, quiet)
    assert len(none) == 0
    assert none.reduced.shape == (0, 16, 16)
    assert [*none.blocks()] == []


def test_a_changed_shard_is_named(sealed: Path) -> None:
    shard = next((sealed / "shards" / "gan100").glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckError, match=shard.name):
        open_sealed(sealed / "manifests" / "gan100.json")
    shard.unlink()
    with pytest.raises(CheckError, match=shard.name):
        open_sealed(sealed / "manifests" / "gan100.json")


def test_a_damaged_image_is_named(
    make_pictures: MakePictures, chests: Chests, tmp_path: Path
) -> None:
    pictures = make_pictures(chests(3, 0))
    tar = pictures.sealed.root / "all.tar"
    data = bytearray(tar.read_bytes())
    start = int(pictures.sealed.index.offset[1])
    data[start : start + 40] = bytes(40)
    tar.write_bytes(data)
    with pytest.raises(CheckError, match=f"all.tar, sample {pictures.keys[1]}"):
        read_pictures(pictures.sealed, pictures.rows, tmp_path, quiet)


def test_a_full_disk_is_told_before_it_is_too_late(
    make_pictures: MakePictures, chests: Chests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = make_pictures(chests(3, 0))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UsageError, match=r"has no room for 0 MB .*No space left.*--out"):
        read_pictures(pictures.sealed, pictures.rows, tmp_path, quiet)
