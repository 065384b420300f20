from dataclasses import replace

import pytest

from builder.write.job import ShardJob, StoredSample, cut, entry_of


@pytest.mark.parametrize(
    ("boundaries", "size", "expected"),
    [
        ((10,), 4, [(0, 4), (4, 8), (8, 10)]),
        ((3, 10), 4, [(0, 3), (3, 7), (7, 10)]),
        ((0, 0, 5), 9, [(0, 5)]),
        ((0,), 9, []),
    ],
)
def test_shards_end_at_every_boundary(
    boundaries: tuple[int, ...], size: int, expected: list[tuple[int, int]]
) -> None:
    assert [(span.start, span.stop) for span in cut(boundaries, size)] == expected


def test_an_entry_says_what_its_samples_are(job: ShardJob) -> None:
    stored = [
        StoredSample(sample=sample, offset=512, size=9, sketch=bytes(16))
        for sample in job.samples[:3]
    ]
    entry = entry_of(job, stored, 4096, "0" * 64)
    assert (entry.url, entry.nsamples, entry.filesize) == (job.url, 3, 4096)
    assert (entry.split, entry.origin) == ("train", "real")


def test_a_job_lies_below_the_root(job: ShardJob) -> None:
    assert job.path == job.layout.root / "shards/real/train-00000-of-00001.tar"
    assert replace(job, url="shards/a.tar").path.name == "a.tar"
