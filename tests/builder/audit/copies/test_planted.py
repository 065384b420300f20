"""Copies are altered as their kind says, and the same for the same seed."""

from collections.abc import Callable

import pytest

from builder.audit.copies.planted import KINDS, Chance, Copied, plant
from builder.contract import Bytes


@pytest.fixture(scope="module")
def images(chests: Callable[[int, int], Bytes]) -> Bytes:
    return chests(30, 0)


@pytest.fixture(scope="module")
def planted(images: Bytes) -> dict[str, Copied]:
    return {each.kind: each for each in plant(images, 20, 5)}


def test_each_kind_alters_images(images: Bytes, planted: dict[str, Copied]) -> None:
    assert [*planted] == [*KINDS]
    for each in planted.values():
        assert each.images.shape == (20, 64, 64)
        assert len(set(each.rows.tolist())) == 20
        assert (each.images != images[each.rows]).any(axis=(1, 2)).all(), each.kind


def test_kinds_do_what_they_say(images: Bytes, planted: dict[str, Copied]) -> None:
    mirrored, inverted = planted["mirroring"], planted["inversion"]
    assert (mirrored.images == images[mirrored.rows, :, ::-1]).all()
    assert (inverted.images == 255 - images[inverted.rows]).all()
    noisy = planted["noise of σ 10"]
    assert 9 < (noisy.images - images[noisy.rows].astype(float)).std() < 10.5


def test_the_seed_decides(images: Bytes, planted: dict[str, Copied]) -> None:
    for again, other in zip(plant(images, 20, 5), plant(images, 20, 6), strict=True):
        assert (again.images == planted[again.kind].images).all()
        assert (other.rows != planted[other.kind].rows).any()


def test_few_or_small_images(images: Bytes) -> None:
    for each in plant(images[:3, ::2, ::2], 20, 0):
        assert each.images.shape == (3, 64, 64)


def test_chance_is_uniform_and_normal() -> None:
    chance = Chance(0, "a")
    values = [chance.within(2, 4) for _ in range(2000)]
    assert 2 <= min(values) < 2.1
    assert 3.9 < max(values) <= 4
    assert sorted(chance.order(50)) == [*range(50)]
    assert {chance.below(3) for _ in range(100)} == {0, 1, 2}
    assert {chance.sign() for _ in range(100)} == {-1, 1}
    assert 0.95 < chance.normal().std() < 1.05
