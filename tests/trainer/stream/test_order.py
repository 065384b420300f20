"""The order is a pure function, whole, even, and resumable anywhere."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from builder.contract import CheckError
from trainer.arms import make_arm
from trainer.recipe import Recipe
from trainer.stream.batches import Dataset, batches
from trainer.stream.order import (
    WINDOW,
    Cursor,
    Order,
    Part,
    coverage,
    cut,
    pieces_from,
    random_words,
)


def part(name: str, start: int, size: int, count: int, shards: int = 3, **options: int) -> Part:
    rows = np.arange(start, start + size)
    return Part(name=name, rows=rows, shards=np.arange(size) * shards // size, count=count,
                **options)  # fmt: skip


def order(*parts: Part, key: str = "digest 0") -> Order:
    return Order(key=key, parts=parts)


def test_random_words_are_fixed_for_good_and_do_not_depend_on_the_count() -> None:
    words = random_words(4, "order", "abc", 0, 1)
    assert words[:2].tolist() == [1823092689560706537, 8571039916807954081]
    assert np.array_equal(random_words(9, "order", "abc", 0, 1)[:4], words)


def test_the_order_is_fixed_for_good() -> None:
    found = order(part("real", 0, 12, 12), part("synthetic", 12, 4, 4)).epoch(1)
    assert sorted(found) == list(range(16))
    assert found.tolist() == FIXED


FIXED = [6, 11, 12, 9, 4, 10, 13, 1, 2, 3, 14, 5, 8, 0, 15, 7]  # must never change


def test_an_epoch_shows_every_row_once_and_depends_on_key_and_number_alone() -> None:
    parts = part("real", 0, 97, 97), part("synthetic", 97, 32, 32)
    first = order(*parts).epoch(1)
    assert sorted(first) == list(range(129))
    assert np.array_equal(first, order(*parts).epoch(1))
    for other in (order(*parts).epoch(2), order(*parts, key="digest 1").epoch(1)):
        assert sorted(other) == list(range(129))
        assert not np.array_equal(other, first)


@pytest.mark.parametrize("count", [1, 30, 97, 150, 300])
def test_no_row_is_shown_again_before_all_were_shown(count: int) -> None:
    one = order(part("real", 0, 97, count))
    shown = np.concatenate([one.epoch(number) for number in range(1, 8)])
    assert len(shown) == 7 * count
    for lap in range(0, len(shown), 97):
        piece = shown[lap : lap + 97]
        assert len({*piece.tolist()}) == len(piece)
    assert np.ptp(coverage(shown, 97)) <= 1


def test_any_stretch_has_the_mix_within_one_image() -> None:
    rows = order(part("real", 0, 900, 900), part("synthetic", 900, 300, 300)).epoch(3)
    synthetic = np.concatenate([[0], np.cumsum(rows >= 900)])
    for size in (10, 32, 100):
        inside = synthetic[size:] - synthetic[:-size]
        assert np.abs(inside - size / 4).max() <= 1


def test_an_unevenly_mixed_epoch_has_exactly_the_counts_asked_for() -> None:
    rows = order(part("real", 0, 90, 90), part("synthetic", 90, 40, 20)).epoch(1)
    assert (rows < 90).sum() == 90
    assert (rows >= 90).sum() == 20


def test_parts_take_part_from_first_to_last() -> None:
    both = order(part("a", 0, 10, 10, last=2), part("b", 10, 10, 6, first=3))
    assert [{*(both.epoch(n) >= 10)} for n in (1, 2, 3, 4)] == [{False}] * 2 + [{True}] * 2
    assert [both.count(n) for n in (1, 2, 3, 4)] == [10, 10, 6, 6]
    assert [len(both.epoch(n)) for n in (1, 2, 3, 4)] == [10, 10, 6, 6]


def test_shards_are_read_a_window_at_a_time() -> None:
    """At any moment few shards are in use, each is left for good, and their order is random."""
    shards = 5 * WINDOW
    one = part("real", 0, shards * 40, shards * 40, shards=shards)
    numbers = one.shards[order(one).epoch(1)]
    firsts, lasts = {}, {}
    for place, number in enumerate(numbers.tolist()):
        firsts.setdefault(number, place)
        lasts[number] = place
    in_use = [sum(firsts[s] <= at <= lasts[s] for s in firsts) for at in range(0, len(numbers), 40)]
    assert max(in_use) == WINDOW
    order_of_shards = sorted(firsts, key=firsts.__getitem__)
    assert order_of_shards != sorted(order_of_shards)


def test_within_a_window_rows_are_shuffled_fully() -> None:
    """The first and the second half of the window hold as much of each shard."""
    one = part("real", 0, WINDOW * 100, WINDOW * 100, shards=WINDOW)
    numbers = one.shards[order(one).epoch(1)]
    half = np.bincount(numbers[: len(numbers) // 2], minlength=WINDOW)
    assert np.abs(half - 50).max() < 20  # five standard deviations are 18


def test_stand_ins_take_the_places_of_rows() -> None:
    parts = part("real", 0, 6, 6), part("synthetic", 6, 3, 3)
    stand_in = np.array([0, 1, 2, 3, 4, 5, 2, 2, 0])
    plain = Order(key="k", parts=parts).epoch(1)
    assert np.array_equal(Order(key="k", parts=parts, stand_in=stand_in).epoch(1), stand_in[plain])


def test_the_digest_names_everything_the_order_depends_on() -> None:
    base = part("real", 0, 10, 10)
    digests = [
        order(base).digest,
        order(base, key="digest 1").digest,
        order(part("real", 0, 10, 9)).digest,
        order(part("real", 1, 10, 10)).digest,
        order(part("other", 0, 10, 10)).digest,
        order(part("real", 0, 10, 10, shards=2)).digest,
        order(part("real", 0, 10, 10, last=3)).digest,
        Order(key="digest 0", parts=(base,), stand_in=np.arange(10)).digest,
    ]
    assert len({*digests}) == len(digests)
    assert order(base).digest == digests[0]


def test_cut_makes_the_fewest_even_pieces() -> None:
    for count, size in itertools.product(range(1, 70), range(1, 20)):
        pieces = cut(count, size)
        assert [i for piece in pieces for i in piece] == list(range(count))
        assert len(pieces) == -(-count // size)
        lengths = {len(piece) for piece in pieces}
        assert max(lengths) <= size
        assert max(lengths) - min(lengths) <= 1
    assert cut(0, 4) == []


def test_pieces_from_any_end_of_a_piece() -> None:
    whole = cut(23, 5)
    for number, piece in enumerate(whole):
        assert pieces_from(23, 5, piece.start) == whole[number:]
    assert pieces_from(23, 5, 23) == []
    for inside in (1, 24):
        with pytest.raises(CheckError, match="lies inside a batch of 5"):
            pieces_from(23, 5, inside)


def test_a_cursor_is_one_small_json() -> None:
    cursor = Cursor(order="abc", epoch=3, position=640)
    assert Cursor.from_json(cursor.to_json()) == cursor
    for bad in ("", "{}", "[]", '{"order":"a","epoch":1.5,"position":0}',
                '{"order":"a","epoch":1,"position":-1}', '{"order":1,"epoch":1,"position":0}',
                '{"order":"a","epoch":1,"position":0,"x":0}'):  # fmt: skip
        with pytest.raises(CheckError, match="The place in an order"):
            Cursor.from_json(bad)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("later_ranks", [1, 2, 3])
def test_resume_at_every_step_of_two_epochs_continues_exactly(
    data: Dataset, recipe: Recipe, workers: int, ranks: int, later_ranks: int
) -> None:
    """Whoever goes on, the concatenation of all ranks' shares is the unbroken order."""
    order = make_arm(replace(recipe, arm="gan", augment="none"), data).order
    unbroken = {epoch: order.epoch(epoch).tolist() for epoch in (1, 2)}

    def shown(epoch: int, start: int, stop: int, ranks: int) -> list[int]:
        found = {}
        rows = order.epoch(epoch)
        for rank in range(ranks):
            for batch in batches(
                data, rows, size=32, workers=workers, what="", start=start, share=(rank, ranks)
            ):
                if batch.position <= stop:
                    found |= zip(batch.places.tolist(), batch.rows.tolist(), strict=True)
        return [found[place] for place in sorted(found)]

    for epoch in (1, 2):
        count = len(unbroken[epoch])
        for piece in [*cut(count, 32), range(count, count)]:
            text = Cursor(order=order.digest, epoch=epoch, position=piece.start).to_json()
            at = Cursor.from_json(text)
            before = shown(at.epoch, 0, at.position, ranks)
            after = shown(at.epoch, at.position, count, later_ranks)
            assert before + after == unbroken[epoch]
