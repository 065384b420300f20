import json
import subprocess
from pathlib import Path

import pytest

from builder.checks import RejectedSample
from builder.contract import CheckError, tar
from builder.write import ShardJob, write_shard
from builder.write.sidecars import read_rejects, write_sidecars


def test_sha256sum_reads_the_sum(job: ShardJob) -> None:
    write_shard(job)
    done = subprocess.run(
        ["sha256sum", "--check", job.path.with_suffix(".sha256").name],
        cwd=job.path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    stem = job.path.stem
    assert done.stdout == f"{stem}.tar: OK\n{stem}.sketch: OK\n"


def test_the_idx_points_at_the_members(job: ShardJob) -> None:
    write_shard(job)
    image = job.layout.image
    members = list(tar.walk(job.path, image.codec, image.max_bytes))
    lines = [tar.idx_line(m.key, image.codec, m.offset, len(m.image), len(m.json)) for m in members]
    assert job.path.with_suffix(".idx").read_bytes() == tar.idx_text(lines)


def test_rejects_are_noted_and_the_note_goes_when_there_are_none(job: ShardJob) -> None:
    shard = write_shard(job)
    assert shard.entry is not None
    assert read_rejects(job) == ()
    rejects = [RejectedSample(sample=job.samples[0], reason="too dark")]
    write_sidecars(job, shard.stored, rejects, shard.entry.sha256)
    assert read_rejects(job) == (("", -1, "too dark"),)
    write_sidecars(job, shard.stored, (), shard.entry.sha256)
    assert not job.path.with_suffix(".rejected.json").exists()


@pytest.mark.parametrize("damage", ["", "[", '{"a": 1}', '[["Mass", "0", "dark"]]', "[[1, 2, 3]]"])
def test_a_damaged_note_is_refused(job: ShardJob, damage: str) -> None:
    note: Path = job.path.with_suffix(".rejected.json")
    note.parent.mkdir(parents=True)
    note.write_text(damage)
    with pytest.raises(CheckError):
        read_rejects(job)
    note.write_text(json.dumps([["Mass", 7, "too dark"]]))
    assert read_rejects(job) == (("Mass", 7, "too dark"),)
