"""Images count once, and those of a shard that is sent half when made and half when there."""

from threading import Event

import pytest

from builder.write.telling import ShardProgress


def test_a_shard_that_stays_counts_when_it_is_made() -> None:
    seen: list[int] = []
    told = ShardProgress(10, seen.append, Event(), sends=False)
    told.made(4)
    told.made(6)
    told.end()
    assert seen == [4, 6]


def test_a_shard_that_is_sent_counts_with_its_bytes() -> None:
    seen: list[int] = []
    told = ShardProgress(10, seen.append, Event(), sends=True)
    told.sent(0)  # while it is asked for
    told.made(10)
    told.begin(1000)
    told.sent(0)
    told.sent(500)
    told.sent(800)  # bytes of a second attempt do not count
    told.end()
    assert seen == [0, 5, 0, 2, 3]


def test_what_ends_early_is_told_whole() -> None:
    seen: list[int] = []
    told = ShardProgress(7, seen.append, Event(), sends=True)
    told.end()
    assert seen == [7]


def test_a_build_that_was_stopped_waits_for_nothing() -> None:
    stopped = Event()
    told = ShardProgress(10, lambda _: None, stopped, sends=True)
    stopped.set()
    with pytest.raises(InterruptedError):
        told.sent(0)
