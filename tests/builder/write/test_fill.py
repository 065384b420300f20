import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from builder.checks import Reject
from builder.contract import Bytes, Sample, decode_image
from builder.contract.radiograph import BadImage
from builder.render import Picture
from builder.write import STAGES, Shard, ShardJob
from builder.write.fill import Filling, Hashed


@dataclass(frozen=True, slots=True)
class Mixed:
    """Of three samples, the second is bad and the third was drawn twice."""

    images: Bytes
    redraws: None = None

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture | Reject | BadImage]:
        for place, (sample, pixels) in enumerate(zip(samples, self.images, strict=True)):
            if place % 3 == 1:
                yield BadImage(image=f"{place}.png", reason="missing")
                continue
            if place % 3 == 2:
                yield Reject(sample=sample, pixels=pixels, reason="too dark")
            yield Picture(sample=sample, pixels=pixels)


def filled(job: ShardJob, told: list[int] | None = None) -> tuple[Shard, bytes]:
    file, counts = io.BytesIO(), [] if told is None else told
    filling = Filling(job, Hashed(file), counts.append)
    filling.produce()
    shard = filling.finish()
    return shard, file.getvalue()


def test_stored_samples_say_where_their_images_lie(job: ShardJob, images: Bytes) -> None:
    shard, data = filled(job)
    assert shard.entry is not None
    assert shard.entry.sha256 == hashlib.sha256(data).hexdigest()
    assert shard.entry.filesize == len(data)
    assert [each.sample for each in shard.stored] == list(job.samples)
    for each, image in zip(shard.stored, images, strict=True):
        member = data[each.offset : each.offset + each.size]
        assert np.array_equal(decode_image(member, job.layout.image), image)


def test_bad_images_and_rejects_are_listed_and_not_stored(job: ShardJob, images: Bytes) -> None:
    told: list[int] = []
    shard, _ = filled(replace(job, painter=Mixed(images)), told)
    assert [each.sample for each in shard.stored] == [
        sample for place, sample in enumerate(job.samples) if place % 3 != 1
    ]
    assert [bad.image for bad in shard.bad] == ["1.png", "4.png", "7.png", "10.png"]
    assert [reject.sample for reject in shard.rejects] == list(job.samples[2::3])
    assert {reject.reason for reject in shard.rejects} == {"too dark"}
    assert sum(told) == len(job.samples)  # a reject is no image of the shard


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_threads_change_no_byte(job: ShardJob, real: Callable[..., Sample], threads: int) -> None:
    images = np.random.default_rng(1).integers(0, 255, (300, 16, 16), dtype=np.uint8)
    many = replace(job, samples=tuple(real(i) for i in range(len(images))), painter=Mixed(images))
    assert filled(replace(many, threads=threads))[1] == filled(many)[1]


def test_a_shard_without_a_sample_has_no_entry(job: ShardJob, images: Bytes) -> None:
    only_bad = replace(job, samples=job.samples[1:2], painter=AllBad(images[1:2]))
    shard, _ = filled(only_bad)
    assert shard.entry is None
    assert shard.stored == ()


@dataclass(frozen=True, slots=True)
class AllBad:
    images: Bytes
    redraws: None = None

    def produce(self, samples: Sequence[Sample]) -> Iterator[BadImage]:
        return (BadImage(image=sample.key, reason="missing") for sample in samples)


def test_what_was_waited_for_is_told_by_stage(job: ShardJob) -> None:
    shard, _ = filled(job)
    assert shard.waited is not None
    assert set(shard.waited) == set(STAGES)
    assert all(seconds >= 0 for seconds in shard.waited.values())
