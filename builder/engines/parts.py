"""Shards divided among runs that share nothing but the output folder → Part, Share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from builder.contract import CheckError, UsageError, in_short, printable
from builder.write import ShardJob, absent

_PART = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")
_NAMED = 3  # missing shards that a message names


@dataclass(frozen=True, slots=True)
class Part:
    """One of `count` parts of a build, by its number from 1; `3/16` is the third of sixteen."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Part":
        """What `3/16` means; UsageError where it is no part."""
        found = _PART.fullmatch(text)
        part = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= part.number <= part.count:
            raise UsageError(
                f"--part takes a number and how many parts there are, such as 3/16, and got "
                f"{printable(text)}."
            )
        return part

    def __str__(self) -> str:
        """As it was asked for."""
        return f"{self.number}/{self.count}"

    def of(self, jobs: Sequence[ShardJob]) -> Sequence[ShardJob]:
        """Every `count`-th job: parts differ by one shard at most."""
        return jobs[self.number - 1 :: self.count]


class Share(Protocol):
    """Which of a dataset's shards a run makes."""

    @property
    def mark(self) -> str:
        """What tells this run's reports from those of runs at the same time."""

    @property
    def parted(self) -> bool:
        """Whether others make shards of the same dataset."""

    def choose(self, jobs: Sequence[ShardJob]) -> Sequence[ShardJob]:
        """Those of the jobs that the run makes."""


class Whole:
    """All shards."""

    mark, parted = "", False

    def choose(self, jobs: Sequence[ShardJob]) -> Sequence[ShardJob]:
        """All of them."""
        return jobs


class Mine:
    """The shards of one part, of every kind; it remembers which there are in all."""

    parted = True

    def __init__(self, part: Part) -> None:
        """Nothing is made yet."""
        self.mark = f"-part-{part.number}-of-{part.count}"
        self._part = part
        self._jobs: list[ShardJob] = []

    def choose(self, jobs: Sequence[ShardJob]) -> Sequence[ShardJob]:
        """Every so-many-th of them."""
        self._jobs += jobs
        return self._part.of(jobs)

    def missing(self) -> list[str]:
        """The shards of other parts that are not there yet."""
        return absent(self._jobs)


class Made:
    """What all parts have made: shards are proved, and damaged ones made again."""

    mark, parted = "", True

    def choose(self, jobs: Sequence[ShardJob]) -> Sequence[ShardJob]:
        """All of them; CheckError names those that are missing."""
        if missing := absent(jobs):
            are = "is" if len(missing) == 1 else "are"
            raise CheckError(
                f"{len(missing):,} of {len(jobs):,} shards {are} missing: {named(missing)}; run "
                "the parts again, or the whole command without --part."
            )
        return jobs


def named(urls: Sequence[str]) -> str:
    """The first few shards, and how many more there are."""
    return in_short(urls, _NAMED)
