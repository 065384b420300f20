"""The order of an epoch: a pure function of (manifest digest, seed, epoch), on any machine.

It does not depend on the number of threads, workers or ranks: they share one sequence. An epoch
takes a part of each origin's rows. A part is shown without repeats until all of it was seen, then
once more in another order.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from builder.contract import CheckError, printable
from builder.contract.record import Count, as_record, parse_json

Rows = npt.NDArray[np.int64]  # row numbers of the sealed index
WINDOW = 8  # shards of a part that are shuffled together; reads stay within them


def random_words(count: int, *what: object) -> npt.NDArray[np.uint64]:
    """`count` random 64-bit words, a pure function of `what`; word i does not depend on `count`.

    Raw Philox output: numpy keeps that stream for good, unlike those of its Generator's methods.
    """
    digest = hashlib.sha256(" ".join(map(str, what)).encode()).digest()
    return np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of which every epoch from `first` to `last` takes the next `count` of a sequence.

    The sequence is endless: lap after lap, each shows all rows once, in an order of its own.
    """

    name: str
    rows: Rows  # [n], in sealed order
    shards: Rows  # [n], the shard number of each row
    count: int
    first: int = 1
    last: int | None = None  # None: no epoch is the last

    def takes_part(self, epoch: int) -> bool:
        """Whether that epoch shows rows of this part."""
        return self.first <= epoch and (self.last is None or epoch <= self.last)

    def take(self, key: str, epoch: int) -> Rows:
        """[count] rows of that epoch; none where it shows no row of this part."""
        if not self.takes_part(epoch):
            return self.rows[:0]
        size, start = len(self.rows), (epoch - self.first) * self.count
        laps = range(start // size, -(-(start + self.count) // size))
        drawn = np.concatenate([self._lap(key, lap) for lap in laps])
        return drawn[start - laps.start * size :][: self.count]

    def _lap(self, key: str, lap: int) -> Rows:
        """Every row once: shards in random order, the rows of WINDOW shards in random order."""
        numbers, which = np.unique(self.shards, return_inverse=True)
        place = np.argsort(np.argsort(random_words(len(numbers), "shards", key, self.name, lap)))
        windows = -(-len(numbers) // WINDOW)
        window = (place * windows // len(numbers))[which]
        words = random_words(len(self.rows), "order", key, self.name, lap)
        return self.rows[np.lexsort((words, window))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What each epoch shows: one row number per image. `digest` names the order."""

    key: str  # of the dataset and the seed
    parts: tuple[Part, ...]
    stand_in: Rows | None = None  # [N], the row shown in place of each row

    def epoch(self, number: int) -> Rows:
        """The rows of an epoch; parts are spread evenly, any stretch has their mix within one."""
        taken = [part.take(self.key, number) for part in self.parts]
        rows = np.concatenate(taken)
        places = np.concatenate([(np.arange(len(t)) + 0.5) / max(1, len(t)) for t in taken])
        rows = rows[np.argsort(places, kind="stable")]
        return rows if self.stand_in is None else self.stand_in[rows]

    def count(self, number: int) -> int:
        """How many images an epoch shows."""
        return sum(part.count for part in self.parts if part.takes_part(number))

    @property
    def digest(self) -> str:
        """The sha256 of all that the order depends on."""
        found = hashlib.sha256(self.key.encode())
        for part in self.parts:
            found.update(f"{part.name} {part.count} {part.first} {part.last} {WINDOW}".encode())
            found.update(part.rows.tobytes() + part.shards.tobytes())
        found.update(b"" if self.stand_in is None else self.stand_in.tobytes())
        return found.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far an order was followed: all that a resume needs, as one small JSON."""

    order: str  # Order.digest
    epoch: Count  # from 1
    position: Count  # images of that epoch that are done

    def to_json(self) -> str:
        """The cursor as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Cursor":
        """The cursor that `to_json` wrote; CheckError where it is not one."""
        what = f"The place in an order {printable(repr(text))}"
        return as_record(parse_json(text.encode(), what), cls, what)


def cut(count: int, size: int) -> list[range]:
    """The fewest pieces of at most `size` images that make up `count`, evenly, in order.

    No short piece is left over: batch normalisation cannot train on a single image, and each of
    several ranks needs some images of every piece.
    """
    pieces = -(-count // size)
    ends = [0, *accumulate(count // pieces + (i < count % pieces) for i in range(pieces))]
    return [range(*pair) for pair in pairwise(ends)]


def pieces_from(count: int, size: int, start: int) -> list[range]:
    """The pieces of `cut` from position `start` on; CheckError where no piece begins there."""
    pieces = cut(count, size)
    rest = [piece for piece in pieces if piece.start >= start]
    if start != (rest[0].start if rest else count):
        raise CheckError(
            f"Position {start} of {count} lies inside a batch of {size}: resume with the same"
            " --batch."
        )
    return rest


def coverage(rows: Sequence[int] | Rows, total: int) -> npt.NDArray[np.int32]:
    """int32 [total]: how often each row occurs."""
    return np.bincount(np.asarray(rows, np.int64), minlength=total).astype(np.int32)
