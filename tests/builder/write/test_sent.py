"""A shard that went elsewhere is known by its notes there, or it is made again."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from builder.checks import Redraws, Reject
from builder.contract import Bytes, Sample, UsageError
from builder.contract.radiograph import BadImage
from builder.recipe import Layout
from builder.render import Picture
from builder.store.destination import Destination, Target
from builder.store.sending import Advance, Alive, Outgoing, taken
from builder.write import ShardJob, absent, write_shard
from builder.write.sent import sent_shard

DRAWS = 12


@dataclass(frozen=True, slots=True)
class Shelf:
    """What takes files, in memory."""

    files: dict[str, bytes]
    shown: str = "s3://bucket/set"

    def prepare(self) -> None: ...

    def sizes(self, folder: str) -> dict[str, int]:
        places = [(path.rpartition("/"), data) for path, data in self.files.items()]
        return {place[2]: len(data) for place, data in places if place[0] == folder}

    def size(self, path: str) -> int | None:
        return len(self.files[path]) if path in self.files else None

    def read(self, path: str, max_bytes: int) -> bytes | None:
        assert max_bytes
        return self.files.get(path)

    def put(self, files: Sequence[Outgoing], advance: Advance) -> bool:
        for file in files:
            data = file.data if file.source is None else file.source.read_bytes()
            assert data is not None
            if self.files.setdefault(file.path, data) != data:
                raise taken(self.shown, file.path)
            advance(len(data))
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Destination):
    """A place in memory."""

    files: dict[str, bytes] = field(default_factory=dict)

    def open(self, alive: Alive = lambda: None) -> Target:
        assert alive
        return Shelf(self.files)


@dataclass(frozen=True, slots=True)
class Redrawing:
    """Every third sample is drawn once more; some cannot be read."""

    redraws: Redraws | None
    bad: frozenset[str] = frozenset()

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture | Reject | BadImage]:
        for place, sample in enumerate(samples):
            if sample.key in self.bad:
                yield BadImage(image=sample.key, reason="missing")
                continue
            times = 1 if self.redraws and place % 3 == 0 else 0
            if times:
                yield Reject(sample=sample, pixels=pixels_of(sample), reason="too dark")
            made = self.redraws.redrawn(sample, times) if self.redraws else sample
            yield Picture(sample=made, pixels=pixels_of(made))


def pixels_of(sample: Sample) -> Bytes:
    return np.random.default_rng(sample.draw + 1).integers(0, 255, (16, 16), dtype=np.uint8)


@pytest.fixture
def place() -> Place:
    return Place(url="s3://bucket/set")


@pytest.fixture
def away(layout: Layout, place: Place) -> Layout:
    return replace(layout, destination=place)


@pytest.fixture
def job(away: Layout, synthetic: Callable[..., Sample]) -> ShardJob:
    """A shard with images that were drawn again."""
    return ShardJob(
        layout=away,
        url="shards/x/train-00000-of-00001.tar",
        samples=tuple(synthetic(i) for i in range(DRAWS)),
        painter=Redrawing(Redraws(draws_per_target={"Mass": DRAWS})),
    )


def there(job: ShardJob) -> object:
    assert job.layout.destination is not None
    return sent_shard(job, job.layout.destination)


def test_a_shard_is_sent_with_its_notes_and_nothing_stays_here(job: ShardJob, place: Place) -> None:
    told: list[int] = []
    made = write_shard(job, told.append)
    assert not list(job.path.parent.iterdir())
    endings = [path.partition("-of-00001")[2] for path in place.files]
    assert endings == [".tar", ".idx", ".sketch", ".rejected.json", ".sha256"]  # in this order
    assert sum(told) == len(job.samples)
    assert there(job) == replace(made, waited=None)


def test_it_is_the_shard_that_stays_where_nothing_is_sent(job: ShardJob, place: Place) -> None:
    write_shard(job)
    own = replace(job, layout=replace(job.layout, destination=None))
    write_shard(own)
    here = {f"shards/x/{path.name}": path.read_bytes() for path in own.path.parent.iterdir()}
    assert here == place.files


def test_what_was_sent_is_not_made_again(job: ShardJob, place: Place) -> None:
    made = write_shard(job)
    before = dict(place.files)
    never = replace(job, painter=Redrawing(job.painter.redraws, frozenset({"never"})))
    told: list[int] = []
    assert write_shard(never, told.append) == replace(made, waited=None)
    assert (sum(told), place.files) == (len(job.samples), before)


def test_a_shard_that_was_complete_here_is_sent(job: ShardJob, place: Place) -> None:
    own = replace(job, layout=replace(job.layout, destination=None))
    made = write_shard(own)
    assert write_shard(job) == replace(made, waited=None)
    assert job.url in place.files
    assert not job.path.exists()


@pytest.mark.parametrize("ending", [".tar", ".idx", ".sketch", ".rejected.json", ".sha256"])
@pytest.mark.parametrize("how", ["absent", "longer", "other"])
def test_without_all_notes_and_the_right_size_it_is_made_again(
    job: ShardJob, place: Place, ending: str, how: str
) -> None:
    write_shard(job)
    url = job.url.replace(".tar", ending)
    whole = place.files.pop(url)
    if how == "absent":
        assert there(job) is None
        write_shard(job)
        assert place.files[url] == whole
        return
    other = whole + b"x" if how == "longer" else bytes([whole[0] ^ 1]) + whole[1:]
    place.files[url] = other
    if ending in (".tar", ".sha256") and how == "other":  # verify and every reader will know
        assert there(job) is not None
        return
    assert there(job) is None
    with pytest.raises(UsageError, match=r"holds another shards/x/train-00000"):
        write_shard(job)
    assert place.files[url] == other


def test_samples_of_another_build_are_not_taken(
    job: ShardJob, synthetic: Callable[..., Sample]
) -> None:
    write_shard(job)
    assert there(replace(job, samples=job.samples[:-1])) is None
    others = tuple(synthetic(i, labels=(-1,)) for i in range(DRAWS))
    assert there(replace(job, samples=others)) is None
    banned = Redrawing(
        Redraws(draws_per_target={"Mass": DRAWS}, banned=frozenset({"x-mass-0000001"}))
    )
    assert there(replace(job, painter=banned)) is None


def test_images_that_were_left_out_are_tried_again(
    away: Layout, real: Callable[..., Sample], place: Place
) -> None:
    samples = tuple(real(i) for i in range(DRAWS))
    bad = frozenset({samples[3].key})
    job = ShardJob(
        layout=away,
        url="shards/real/train-00000-of-00001.tar",
        samples=samples,
        painter=Redrawing(None, bad),
        skip_bad=True,
    )
    made = write_shard(job)
    assert len(made.bad) == 1
    assert there(job) == replace(made, waited=None)
    assert there(replace(job, skip_bad=False)) is None
    place.files.clear()
    assert len(write_shard(replace(job, skip_bad=False)).bad) == 1
    assert not place.files


@pytest.fixture
def unread(away: Layout, real: Callable[..., Sample]) -> ShardJob:
    """A shard none of whose images can be read."""
    samples = tuple(real(i) for i in range(DRAWS))
    return ShardJob(
        layout=away,
        url="shards/real/train-00000-of-00001.tar",
        samples=samples,
        painter=Redrawing(None, frozenset(sample.key for sample in samples)),
        skip_bad=True,
    )


def test_a_shard_without_images_is_complete_by_its_notes(unread: ShardJob, place: Place) -> None:
    told: list[int] = []
    made = write_shard(unread, told.append)
    assert (made.entry, made.stored, len(made.bad), sum(told)) == (None, (), DRAWS, DRAWS)
    assert [path.rpartition(".")[2] for path in place.files] == ["idx", "sketch", "sha256"]
    assert not list(unread.path.parent.iterdir())
    assert absent([unread]) == []
    assert write_shard(unread).bad == made.bad  # each image is tried again
    own = replace(unread, layout=replace(unread.layout, destination=None))
    assert absent([own]) == [own.url]
    write_shard(own)
    assert absent([own]) == []
    here = {f"shards/real/{path.name}": path.read_bytes() for path in own.path.parent.iterdir()}
    assert here == place.files
    own.path.with_suffix(".sha256").unlink()
    del place.files[unread.url.replace(".tar", ".sha256")]
    assert absent([own, unread]) == [own.url, unread.url]


def test_notes_of_a_shard_without_images_pass_sha256sum(unread: ShardJob) -> None:
    own = replace(unread, layout=replace(unread.layout, destination=None))
    write_shard(own)
    sums = own.path.with_suffix(".sha256").name
    words = ["sha256sum", "--check", "--strict", sums]
    subprocess.run(words, cwd=own.path.parent, check=True, capture_output=True)


def test_images_that_were_repaired_fill_the_shard(unread: ShardJob) -> None:
    own = replace(unread, layout=replace(unread.layout, destination=None))
    write_shard(own)
    repaired = replace(own, painter=Redrawing(None))
    shard = write_shard(repaired)
    assert len(shard.stored) == DRAWS
    assert write_shard(repaired) == replace(shard, waited=None)
    own.path.write_bytes(b"damaged")
    write_shard(own)
    assert absent([own]) == []
    assert not own.path.exists()


def test_without_skip_bad_a_shard_without_images_is_not_complete(
    unread: ShardJob, place: Place
) -> None:
    strict = replace(unread, skip_bad=False)
    assert len(write_shard(strict).bad) == DRAWS
    assert not place.files
    assert absent([strict]) == [strict.url]


def test_absent_is_what_is_neither_here_nor_there(job: ShardJob, place: Place) -> None:
    assert absent([job]) == [job.url]
    write_shard(job)
    assert absent([job]) == []
    del place.files[job.url.replace(".tar", ".sha256")]
    assert absent([job]) == [job.url]
    job.path.touch()
    assert absent([job]) == []


def test_a_place_that_refuses_keeps_the_shard_here(job: ShardJob, place: Place) -> None:
    place.files[job.url] = b"another's"
    with pytest.raises(UsageError, match="holds another"):
        write_shard(job)
    assert job.path.is_file()
