"""A completed shard is kept, whatever it had to redraw; a damaged or another one is not."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from builder.checks import Redraws, Reject
from builder.contract import MAX_SAMPLES, Bytes, CheckError, Sample
from builder.contract.radiograph import BadImage
from builder.contract.sketch import SKETCH_BYTES
from builder.recipe import Layout
from builder.render import Picture
from builder.write import ShardJob, write_shard
from builder.write.resume import completed_shard

DRAWS = 20


@dataclass(frozen=True, slots=True)
class Redrawing:
    """Every third sample is drawn twice more."""

    redraws: Redraws

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture | Reject]:
        for place, sample in enumerate(samples):
            times = 2 if place % 3 == 0 else 0
            for attempt in range(times):
                made = self.redraws.redrawn(sample, attempt)
                yield Reject(sample=made, pixels=pixels_of(made), reason="too dark")
            made = self.redraws.redrawn(sample, times)
            yield Picture(sample=made, pixels=pixels_of(made))


def pixels_of(sample: Sample) -> Bytes:
    return np.random.default_rng(sample.draw).integers(0, 255, (16, 16), dtype=np.uint8)


@pytest.fixture
def redrawn_job(layout: Layout, synthetic: Callable[..., Sample]) -> ShardJob:
    """The second half of the images for Mass."""
    return ShardJob(
        layout=layout,
        url="shards/x/train-00001-of-00002.tar",
        samples=tuple(synthetic(i) for i in range(DRAWS // 2, DRAWS)),
        painter=Redrawing(Redraws(draws_per_target={"Mass": DRAWS})),
    )


def with_redraws(job: ShardJob, **changes: object) -> ShardJob:
    assert job.painter.redraws is not None
    return replace(job, painter=Redrawing(replace(job.painter.redraws, **changes)))


def test_a_completed_shard_of_real_images_is_read_back(job: ShardJob) -> None:
    made = write_shard(job)
    assert completed_shard(job) == replace(made, waited=None)
    assert write_shard(job).waited is None


def test_redrawn_images_and_their_rejects_are_read_back(redrawn_job: ShardJob) -> None:
    made = write_shard(redrawn_job)
    assert len(made.rejects) == 8
    assert completed_shard(redrawn_job) == replace(made, waited=None)


def test_a_shard_without_its_sum_or_with_another_is_made_again(job: ShardJob) -> None:
    write_shard(job)
    whole = job.path.read_bytes()
    data = bytearray(whole)
    data[600] ^= 1
    job.path.write_bytes(data)
    assert completed_shard(job) is None
    job.path.write_bytes(whole)
    job.path.with_suffix(".sha256").unlink()
    assert completed_shard(job) is None
    write_shard(job)
    assert completed_shard(job) is not None


def test_sketches_come_back_from_their_file_and_a_damaged_one_is_made_again(job: ShardJob) -> None:
    made = write_shard(job)
    path = job.path.with_suffix(".sketch")
    whole = path.read_bytes()
    assert whole == b"".join(each.sketch for each in made.stored)
    assert len({each.sketch for each in made.stored}) == len(job.samples)
    for damaged in (whole[:-1], whole[::-1], b""):
        path.write_bytes(damaged)
        assert completed_shard(job) is None
    path.unlink()
    assert completed_shard(job) is None
    with path.open("wb") as file:
        file.truncate(SKETCH_BYTES * MAX_SAMPLES + 1)  # more than is read
    assert completed_shard(job) is None
    assert write_shard(job).stored == made.stored
    assert completed_shard(job) == replace(made, waited=None)


def test_other_samples_in_the_same_place_are_refused(
    job: ShardJob, real: Callable[..., Sample]
) -> None:
    write_shard(job)
    with pytest.raises(CheckError, match="holds other samples than this build asks for"):
        completed_shard(replace(job, samples=tuple(real(100 + i) for i in range(12))))
    with pytest.raises(CheckError, match="holds other samples"):
        completed_shard(replace(job, samples=tuple(real(i, (0,)) for i in range(12))))
    with pytest.raises(CheckError, match="holds other samples"):
        completed_shard(replace(job, samples=job.samples[::-1]))


@pytest.mark.parametrize(
    "note", [None, "[]", "[", '[["Gout", 1, "x"]]', '[["Mass", 3, "too dark"]]']
)
def test_a_shard_whose_rejects_are_not_known_is_made_again(
    redrawn_job: ShardJob, note: str | None
) -> None:
    write_shard(redrawn_job)
    path = redrawn_job.path.with_suffix(".rejected.json")
    if note is None:
        path.unlink()
    else:
        path.write_text(note)
    assert completed_shard(redrawn_job) is None


def test_a_shard_with_a_banned_image_is_made_again(redrawn_job: ShardJob) -> None:
    key = write_shard(redrawn_job).stored[1].sample.key
    assert completed_shard(with_redraws(redrawn_job, banned=frozenset({key}))) is None
    other = frozenset({"x-mass-9999999"})
    assert completed_shard(with_redraws(redrawn_job, banned=other)) is not None


def test_a_shard_whose_rejects_were_to_be_kept_and_are_not_is_made_again(
    redrawn_job: ShardJob, tmp_path: Path
) -> None:
    rejects = write_shard(redrawn_job).rejects
    keeping = with_redraws(redrawn_job, rejects_dir=tmp_path)
    assert completed_shard(keeping) is None
    for reject in rejects:
        (tmp_path / f"{reject.sample.key}.png").touch()
    assert completed_shard(keeping) is not None


@dataclass(frozen=True, slots=True)
class WithBad:
    """The samples with these places cannot be read."""

    places: tuple[int, ...]
    images: Bytes
    redraws: None = None

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture | BadImage]:
        for place, (sample, pixels) in enumerate(zip(samples, self.images, strict=True)):
            if place in self.places:
                yield BadImage(image=f"{place}.png", reason="missing")
            else:
                yield Picture(sample=sample, pixels=pixels)


def test_images_that_were_left_out_are_tried_again(job: ShardJob, images: Bytes) -> None:
    lenient = replace(job, painter=WithBad((2, 5), images), skip_bad=True)
    made = write_shard(lenient)
    found = completed_shard(lenient)
    assert found == replace(made, waited=None)
    assert found is not None
    assert [bad.image for bad in found.bad] == ["2.png", "5.png"]
    assert completed_shard(replace(lenient, skip_bad=False)) is None
    with pytest.raises(CheckError, match=r"packed without .* can be read now"):
        completed_shard(replace(lenient, painter=WithBad((2,), images)))
