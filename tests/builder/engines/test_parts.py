"""Parts of a build: which shards each makes, and what is said of those that are missing."""

from collections.abc import Callable

import pytest

from builder.contract import CheckError, UsageError
from builder.engines.parts import Made, Mine, Part, Whole
from builder.write import ShardJob


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "a/4", "1/4/4", "-1/4", "1 / 4"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--part takes a number and how many parts there are"):
        Part.parse(text)


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_parts_together_make_every_shard_once(count: int, job_of: Callable[..., ShardJob]) -> None:
    jobs = [job_of(number) for number in range(7)]
    made = [Mine(Part(number + 1, count)).choose(jobs) for number in range(count)]
    assert sorted(job.url for part in made for job in part) == [job.url for job in jobs]
    assert max(map(len, made)) - min(map(len, made)) <= 1
    assert Whole().choose(jobs) == jobs


def test_a_part_knows_what_others_have_not_made(job_of: Callable[..., ShardJob]) -> None:
    jobs = [job_of(number) for number in range(5)]
    mine = Mine(Part.parse("2/2"))
    assert [job.url for job in mine.choose(jobs)] == [jobs[1].url, jobs[3].url]
    for job in jobs[:4]:
        job.path.parent.mkdir(parents=True, exist_ok=True)
        job.path.touch()
    assert mine.missing() == [jobs[4].url]


def test_missing_shards_are_named(job_of: Callable[..., ShardJob]) -> None:
    jobs = [job_of(number) for number in range(5)]
    with pytest.raises(CheckError, match=r"5 of 5 shards are missing: .*00000.*00002.* and 2 more"):
        Made().choose(jobs)
