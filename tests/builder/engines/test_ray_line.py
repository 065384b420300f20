"""Runs of shards on their way through actors that die. Ray is imitated; no cluster is needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builder.contract import CheckError
from builder.write import ShardJob

exceptions = pytest.importorskip("ray.exceptions", reason="Ray is not installed")

from builder.engines import ray_line  # noqa: E402
from builder.engines.ray_line import Line  # noqa: E402


@dataclass(eq=False, kw_only=True)
class Ref:
    """What a call of an actor will give: a value, an error, or nothing ever."""

    value: object = None
    error: Exception | None = None
    done: bool = True
    later: bool = False  # done when nothing else is


def wait(refs: Sequence[Ref], **_: object) -> tuple[list[Ref], list[Ref]]:
    if not (done := [ref for ref in refs if ref.done]):
        for ref in refs:
            ref.done = ref.later
    return done[-1:], []  # actors answer before shards are made


def get(ref: Any) -> Any:
    if ref.error:
        raise ref.error
    return ref.value


class Actor:
    """Makes shards, each a word; `answers` says how it answers a call, or leaves it to live."""

    def __init__(self, answers: Callable[[Sequence[str] | None], Ref | None]) -> None:
        self.made: list[str] = []
        self._answers = answers
        self.ready = SimpleNamespace(remote=lambda: answers(None) or Ref())
        self.make = SimpleNamespace(remote=self._make)

    def _make(self, _: object, __: int, jobs: Sequence[ShardJob], *___: object) -> Ref:
        urls = [job.url for job in jobs]
        if (answer := self._answers(urls)) is None:
            self.made += urls
            return Ref(value=urls)
        return answer


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[Actor]:
    """The actors that were ended."""
    ended: list[Actor] = []
    imitation = SimpleNamespace(wait=wait, get=get, kill=ended.append, put=lambda each: each)
    monkeypatch.setattr(ray_line, "ray", imitation)
    return ended


@pytest.fixture
def line(killed: list[Actor], job_of: Callable[..., ShardJob]) -> Callable[..., Line]:
    """A line of shards, with actors that `start` makes."""
    assert not killed
    counts = SimpleNamespace(images=SimpleNamespace(remote=lambda: Ref(value={})))
    place: Any = SimpleNamespace(counts=counts, home=Path(), facts={})

    def make(start: Callable[[], Actor], count: int = 17, actors: int = 2) -> Line:
        jobs = [job_of(number) for number in range(count)]
        return Line(jobs=jobs, start=start, actors=actors, place=place, advance=lambda _: None)

    return make


def dies(_: object) -> Ref:
    return Ref(error=exceptions.ActorDiedError())


def url(number: int) -> str:
    return f"shards/x/train-{number:05d}-of-00008.tar"


def test_all_is_made_and_every_actor_ended(line: Callable[..., Line], killed: list[Actor]) -> None:
    actors = [Actor(lambda _: None) for _ in range(2)]
    waiting = iter(actors)
    made = line(lambda: next(waiting))
    assert made.run() == [url(number) for number in range(17)]
    made.stop()
    assert sorted(map(id, killed)) == sorted(map(id, actors))


def test_what_a_lost_machine_was_making_is_made_by_the_others(line: Callable[..., Line]) -> None:
    """No machine takes its place, and it is not known at first that it is lost."""

    def lost(urls: Sequence[str] | None) -> Ref | None:
        return urls and Ref(error=exceptions.ActorUnavailableError("refused", b"a" * 16))

    other = Actor(lambda _: None)
    actors = iter([Actor(lost), other])
    made = line(lambda: next(actors, None) or Actor(lambda _: Ref(done=False)))
    assert made.run() == [url(number) for number in range(17)]
    assert len(other.made) == 17


def test_an_idle_actor_must_answer_again_once_another_has_died(line: Callable[..., Line]) -> None:
    """Otherwise a shard would be accused of the deaths of actors that were dead before."""

    def on_one_machine(*, last: bool) -> Actor:
        calls: list[object] = []

        def answers(urls: Sequence[str] | None) -> Ref | None:
            calls.append(urls)
            if len(calls) == 2 and last:
                return Ref(error=exceptions.ActorDiedError(), done=False, later=True)
            return dies(urls) if len(calls) > 2 else None

        return Actor(answers)

    actors = iter([*(on_one_machine(last=False) for _ in range(3)), on_one_machine(last=True)])
    made = line(lambda: next(actors, None) or Actor(lambda _: None), 4, actors=4)
    assert made.run() == [url(number) for number in range(4)]


def test_a_shard_that_kills_every_actor_is_named_and_the_others_are_made(
    line: Callable[..., Line],
) -> None:
    made: set[str] = set()

    def poisoned(urls: Sequence[str] | None) -> Ref | None:
        if urls and url(3) in urls:
            return dies(urls)
        made.update(urls or ())
        return None

    with pytest.raises(CheckError, match=r"made \S+train-00003\S+ died .* 1 of 17 shards"):
        line(lambda: Actor(poisoned)).run()
    assert made == {url(number) for number in range(17) if number != 3}


def test_a_result_that_was_lost_with_its_machine_is_asked_for_again(
    line: Callable[..., Line],
) -> None:
    lost = [True]

    def answers(urls: Sequence[str] | None) -> Ref | None:
        if urls and lost:
            lost.clear()
            return Ref(error=exceptions.ObjectLostError("a" * 56, None, ""))
        return None

    assert line(lambda: Actor(answers)).run() == [url(number) for number in range(17)]


def test_a_cluster_on_which_no_process_starts_is_said(line: Callable[..., Line]) -> None:
    with pytest.raises(CheckError, match="No process starts on the Ray cluster"):
        line(lambda: Actor(dies)).run()


def test_a_cluster_that_is_never_free_is_not_waited_for_without_end(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_line, "PATIENCE", 0.0)
    with pytest.raises(CheckError, match="No machine of the Ray cluster has been free"):
        line(lambda: Actor(lambda _: Ref(done=False))).run()
