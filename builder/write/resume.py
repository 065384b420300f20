"""The shard that an earlier run completed, read back."""

import json
from collections.abc import Callable
from dataclasses import replace

from builder.checks import redrawn
from builder.contract import CheckError, Sample, sha256_file, tar
from builder.contract.radiograph import BadImage
from builder.write.job import Job, Shard, shard_of
from builder.write.sidecars import sum_line, write_beside


def kept_shard(job: Job) -> Shard | None:
    """The shard on disk if it holds what `job` asks for; None if it must be made anew.

    Its bytes must have the sha256 that was noted when it was completed, and the names and labels
    of all members are compared. Samples that a run with --skip-bad left out are tried again, for
    their reason.
    """
    sha256 = sha256_file(job.path)
    noted = job.path.with_suffix(".sha256")
    if not noted.is_file() or noted.read_bytes() != sum_line(job, sha256):
        return None
    try:
        members = list(tar.walk(job.path, job.image.codec, job.image.max_bytes))
    except CheckError:
        return None
    place_of = _places(job)
    places = [place_of(member) for member in members]
    samples = [_sample(job, place, member) for place, member in zip(places, members, strict=True)]
    same = all(
        sample and sample.to_json(job.pathologies) == member.json
        for sample, member in zip(samples, members, strict=True)
    )
    if not same or places != sorted(places):
        raise CheckError(
            f"{job.path} holds other samples than this build asks for: "
            "remove it, or build into another --out."
        )
    kept = [
        (sample, member.offset, len(member.image))
        for sample, member in zip(samples, members, strict=True)
        if sample
    ]
    bad = _left_out(job, set(range(len(job.samples))) - set(places))
    redraws = sum(s.draw // job.steps[s.target] for s, *_ in kept if job.steps)
    try:
        rejects = _rejects(job)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if (bad and not job.skip_bad) or len(rejects) != redraws:
        return None
    if job.aside and any(not (job.aside / f"{s.key}.png").is_file() for s, _ in rejects):
        return None
    if any(sample.key in job.banned for sample, *_ in kept):
        return None
    shard = replace(
        shard_of(job, kept, bad, job.path.stat().st_size, sha256), rejects=tuple(rejects)
    )
    write_beside(job, shard)
    return shard


def _places(job: Job) -> Callable[[tar.Member], int]:
    """A function that gives a member's place among the job's samples, -1 without one."""
    if not job.steps:
        keys = {sample.key: place for place, sample in enumerate(job.samples)}
        return lambda member: keys.get(member.key, -1)
    draws = {(sample.target, sample.draw): place for place, sample in enumerate(job.samples)}

    def place_of(member: tar.Member) -> int:
        target, draw = member.drawn()
        return draws.get((target, draw % (job.steps.get(target) or 1)), -1)

    return place_of


def _sample(job: Job, place: int, member: tar.Member) -> Sample | None:
    """The sample that the job wants there, after as many redraws as the member had."""
    if place < 0:
        return None
    sample = job.samples[place]
    if not job.steps:
        return sample
    step = job.steps[sample.target]
    return redrawn(sample, member.drawn()[1] // step, step)


def _rejects(job: Job) -> list[tuple[Sample, str]]:
    """The images that were rejected for this shard, as noted when it was completed."""
    noted = job.path.with_suffix(".rejected.json")
    if not noted.is_file():
        return []
    slots = {(sample.target, sample.draw): sample for sample in job.samples}
    rejects = []
    for target, draw, reason in json.loads(noted.read_bytes()):
        step = job.steps[target]
        rejects.append((redrawn(slots[target, draw % step], draw // step, step), reason))
    return rejects


def _left_out(job: Job, places: set[int]) -> list[BadImage]:
    if not places:
        return []
    bad = []
    for place, found in enumerate(job.paint(job.samples)):
        if place in places:
            if not isinstance(found, BadImage):
                raise CheckError(
                    f"{job.path} was packed without {job.samples[place].key}, whose image can be "
                    "read now: remove the shard to pack it again."
                )
            bad.append(found)
    return bad
