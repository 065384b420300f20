"""The shard that an earlier run completed, read back → Shard."""

from collections.abc import Callable, Sequence

from builder.checks import Redraws, RejectedSample
from builder.contract import CheckError, Sample, sha256_file, tar
from builder.contract.radiograph import BadImage
from builder.contract.sketch import SKETCH_BYTES
from builder.write.job import Shard, ShardJob, StoredSample, entry_of
from builder.write.sidecars import (
    Rejects,
    read_rejects,
    read_sketches,
    sum_lines,
    write_sidecars,
)


def completed_shard(job: ShardJob) -> Shard | None:
    """The shard on disk if it holds what `job` asks for; None if it must be made again.

    Its bytes and sketches must have the sha256 that was noted when it was completed, and the names
    and labels of all members are compared. Samples that a run with --skip-bad left out are tried
    again, to learn the reason.
    """
    try:
        sha256, sketches = sha256_file(job.path), read_sketches(job)
        noted = job.path.with_suffix(".sha256")
        if not noted.is_file() or noted.read_bytes() != sum_lines(job.path, sha256, sketches):
            return None
        image = job.layout.image
        members = list(tar.walk(job.path, image.codec, image.max_bytes))
    except CheckError:
        return None
    stored, left_out = _compared(job, members, sketches)
    bad = bad_images(job, left_out)
    if bad and not job.skip_bad:
        return None
    rejects = rejects_of(job, [each.sample for each in stored], lambda: read_rejects(job))
    if rejects is None:
        return None
    write_sidecars(job, stored, rejects, sha256)
    size = job.path.stat().st_size
    return Shard(
        entry=entry_of(job, stored, size, sha256) if stored else None,
        stored=tuple(stored),
        bad=tuple(bad),
        rejects=tuple(rejects),
        waited=None,
    )


def _compared(
    job: ShardJob, members: Sequence[tar.Member], sketches: bytes
) -> tuple[list[StoredSample], set[int]]:
    """The members as the job's samples, and the places of the samples that are not there."""
    expected = expected_samples(job)
    found = [expected(member.key) for member in members]
    stored = [
        StoredSample(
            sample=each[1],
            offset=member.offset,
            size=len(member.image),
            sketch=sketches[place * SKETCH_BYTES : (place + 1) * SKETCH_BYTES],
        )
        for place, (each, member) in enumerate(zip(found, members, strict=True))
        if each and each[1].to_json(job.layout.pathologies) == member.json
    ]
    places = [each[0] for each in found if each]
    if len(stored) < len(members) or places != sorted(places):
        raise CheckError(
            f"{job.path} holds other samples than this build asks for: "
            "remove it, or build into another --out."
        )
    return stored, set(range(len(job.samples))) - {*places}


def expected_samples(job: ShardJob) -> Callable[[str], tuple[int, Sample] | None]:
    """A function that gives the sample with a key, and its place among the job's samples.

    None where the job asks for no such sample, not as a redraw either.
    """
    redraws = job.painter.redraws
    by_key = {sample.key: (place, sample) for place, sample in enumerate(job.samples)}
    if redraws is None:
        return by_key.get
    slots = {(sample.target, sample.draw): place for place, sample in enumerate(job.samples)}
    targets = {
        sample.key.removesuffix(f"{sample.draw:07d}"): sample.target for sample in job.samples
    }

    def expected(key: str) -> tuple[int, Sample] | None:
        stem, mark, number = key.rpartition("-")
        target = targets.get(stem + mark)
        if target is None or not (number.isascii() and number.isdigit()):
            return None
        place = slots.get((target, redraws.slot(target, int(number))))
        if place is None:
            return None
        sample = redraws.redrawn(job.samples[place], redraws.attempt(target, int(number)))
        return (place, sample) if sample.key == key else None

    return expected


def rejects_of(
    job: ShardJob, samples: Sequence[Sample], noted: Callable[[], Rejects]
) -> list[RejectedSample] | None:
    """The images that were rejected before these were sealed; None where their notes do not fit."""
    redraws = job.painter.redraws
    if redraws is None:
        return []
    if any(sample.key in redraws.banned for sample in samples):
        return None
    try:
        rejects = _noted_rejects(job, redraws, noted())
    except (CheckError, KeyError, ZeroDivisionError):
        return None
    if len(rejects) != sum(redraws.attempt(s.target, s.draw) for s in samples):
        return None
    folder = redraws.rejects_dir
    if folder and any(not (folder / f"{r.sample.key}.png").is_file() for r in rejects):
        return None
    return rejects


def _noted_rejects(job: ShardJob, redraws: Redraws, noted: Rejects) -> list[RejectedSample]:
    slots = {(sample.target, sample.draw): sample for sample in job.samples}
    rejects = []
    for target, draw, reason in noted:
        first = slots[target, redraws.slot(target, draw)]
        sample = redraws.redrawn(first, redraws.attempt(target, draw))
        rejects.append(RejectedSample(sample=sample, reason=reason))
    return rejects


def bad_images(job: ShardJob, places: set[int]) -> list[BadImage]:
    """Why the samples in these places were left out."""
    if not places:
        return []
    bad = []
    for place, item in enumerate(job.painter.produce(job.samples)):
        if place in places:
            if not isinstance(item, BadImage):
                raise CheckError(
                    f"{job.path} was packed without {job.samples[place].key}, whose image can be "
                    "read now: remove the shard to pack it again."
                )
            bad.append(item)
    return bad
