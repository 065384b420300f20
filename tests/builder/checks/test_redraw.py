"""Rejected images are drawn again, with numbers that no other image has."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import pytest

from builder.checks import Redraws, Reject, checked_pictures, redraw
from builder.checks.constant import reasons_against as constant
from builder.checks.redraw import Banned
from builder.contract import Bytes, CheckError, Sample
from builder.render import Picture

MakeSample = Callable[..., Sample]


def test_a_redraw_has_a_number_that_no_other_image_has(synthetic: MakeSample) -> None:
    redraws = Redraws(draws_per_target={"Mass": 7})
    made = [redraws.redrawn(synthetic(i), times) for i in range(7) for times in range(5)]
    assert {sample.draw for sample in made} == set(range(35))
    again = redraws.redrawn(synthetic(3), 2)
    assert (again.key, again.draw, again.labels) == ("x-mass-0000017", 17, (1,))


def test_slot_and_attempt_follow_from_the_number(synthetic: MakeSample) -> None:
    redraws = Redraws(draws_per_target={"Mass": 7, "Edema": 3})
    for target, slots in (("Mass", 7), ("Edema", 3)):
        for slot in range(slots):
            for times in range(4):
                draw = redraws.redrawn(synthetic(slot, target), times).draw
                assert (redraws.slot(target, draw), redraws.attempt(target, draw)) == (slot, times)
    with pytest.raises(KeyError):
        redraws.slot("Gout", 1)


def by_number(samples: Iterable[Sample]) -> Iterator[Bytes]:
    return (np.full((1, 2, 2), s.draw % 251, np.uint8) for s in samples)


def odd(images: Bytes, _: Sequence[Sample]) -> list[str]:
    return ["odd" if image[0, 0] % 3 == 1 else "" for image in images]


def test_pictures_come_in_order_and_their_rejects_before_them(synthetic: MakeSample) -> None:
    asked = [synthetic(i) for i in range(600)]  # more than are finished at a time
    redraws = Redraws(draws_per_target={"Mass": 600})
    kept: list[Reject] = []
    found = list(
        checked_pictures(by_number, asked, judges=[odd], redraws=redraws, keep=kept.append)
    )
    pictures = [f for f in found if isinstance(f, Picture)]
    rejects = [f for f in found if isinstance(f, Reject)]
    assert [p.sample.draw % 600 for p in pictures] == list(range(600))
    assert all(p.pixels[0, 0] % 3 != 1 for p in pictures)
    assert len(rejects) > 100
    assert {r.sample.key for r in kept} == {r.sample.key for r in rejects}
    before: list[int] = []
    for item in found:
        if isinstance(item, Reject):
            before.append(item.sample.draw % 600)
        else:
            assert all(place == item.sample.draw % 600 for place in before)
            before = []


def test_threads_change_neither_pictures_nor_what_is_rendered_together(
    synthetic: MakeSample,
) -> None:
    asked = [synthetic(i) for i in range(700)]
    redraws = Redraws(draws_per_target={"Mass": 700})
    batches: list[list[int]] = []

    def render(samples: Iterable[Sample]) -> Iterator[Bytes]:
        todo = iter(samples)
        while block := list(islice(todo, 50)):
            batches.append([sample.draw for sample in block])
            random = (np.random.default_rng(sample.draw) for sample in block)
            yield np.stack([r.integers(0, 255, (12, 12), dtype=np.uint8) for r in random])

    def made(threads: int) -> list[tuple[str, bytes, tuple[int, ...]]]:
        batches.clear()
        found = checked_pictures(
            render, asked, judges=[odd], redraws=redraws, image_size=8, threads=threads
        )
        return [(f.sample.key, f.pixels.tobytes(), f.pixels.shape) for f in found]

    expected, together = made(0), [list(batch) for batch in batches]
    assert {shape for *_, shape in expected} == {(8, 8)}
    for threads in (1, 3):
        assert made(threads) == expected
        assert batches == together


def test_an_image_is_not_drawn_for_ever(
    monkeypatch: pytest.MonkeyPatch, synthetic: MakeSample
) -> None:
    monkeypatch.setattr(redraw, "MAX_REDRAWS", 3)

    def empty(samples: Iterable[Sample]) -> Iterator[Bytes]:
        return (np.zeros((1, 2, 2), np.uint8) for _ in samples)

    redraws = Redraws(draws_per_target={"Mass": 1})
    with pytest.raises(CheckError, match="4 images in a row were rejected for one label vector"):
        list(checked_pictures(empty, [synthetic(0)], judges=[constant], redraws=redraws))


def test_the_first_reason_counts(synthetic: MakeSample) -> None:
    def first(images: Bytes, samples: Sequence[Sample]) -> list[str]:
        assert len(images) == len(samples)
        return ["first" if sample.draw < 2 else "" for sample in samples]

    def second(images: Bytes, samples: Sequence[Sample]) -> list[str]:
        assert len(images) == len(samples)
        return ["second" if sample.draw < 4 else "" for sample in samples]

    asked = [synthetic(i) for i in range(2)]
    redraws = Redraws(draws_per_target={"Mass": 2})
    found = list(checked_pictures(by_number, asked, judges=[first, second], redraws=redraws))
    assert [f.reason for f in found if isinstance(f, Reject)] == ["first", "second"] * 2


def test_banned_keys_are_rejected(synthetic: MakeSample) -> None:
    asked = [synthetic(i) for i in range(3)]
    judge = Banned(frozenset({asked[1].key}))
    reasons = judge(np.zeros((3, 2, 2), np.uint8), asked)
    assert reasons == ["", "it is a duplicate of an earlier image", ""]
    redraws = Redraws(draws_per_target={"Mass": 4}, banned=judge.keys)
    found = checked_pictures(by_number, asked, judges=[odd], redraws=redraws)
    assert [f.sample.draw for f in found if isinstance(f, Picture)] == [0, 5, 2]
