"""A build does not continue once the real images have changed that its checks look at."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.checks import Check, find_checks
from builder.contract import ShardEntry, UsageError
from builder.engines.looked_at import NOTE, note_looked_at
from builder.recipe import Layout
from builder.store.destination import Destination
from builder.store.sending import Outgoing
from builder.write import ShardJob, write_shard


@pytest.fixture
def real(job_of: Callable[..., ShardJob]) -> ShardEntry:
    """A shard of validation images."""
    entry = write_shard(job_of(0)).entry
    assert entry is not None
    return replace(entry, split="val", origin="real")


@pytest.fixture
def folder(layout: Layout) -> Path:
    folder = layout.shards("gan1")
    folder.mkdir(parents=True)
    return folder


class Bucket:
    """What takes the files of a build, in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | None] = {}

    def read(self, path: str, _: int) -> bytes | None:
        return self.files.get(path)

    def put(self, files: list[Outgoing], _: object) -> None:
        self.files |= {file.path: file.data for file in files}


CHECKS: list[Check] = find_checks(["copy:0.2"])


def test_other_images_are_refused_once_a_shard_is_there(
    real: ShardEntry, layout: Layout, folder: Path
) -> None:
    note_looked_at(CHECKS, [real], layout, folder)
    changed = replace(real, sha256="f" * 64)
    note_looked_at(CHECKS, [changed], layout, folder)  # nothing was rendered yet
    (folder / "train-00000-of-00001.tar").touch()
    note_looked_at(CHECKS, [changed], layout, folder)
    with pytest.raises(UsageError, match=r"copy:0\.2 takes its limits from them: remove .*gan1"):
        note_looked_at(CHECKS, [real], layout, folder)


def test_parts_that_begin_at_once_agree(real: ShardEntry, layout: Layout, folder: Path) -> None:
    note_looked_at(CHECKS, [real], layout, folder, shared=True)
    note_looked_at(CHECKS, [real], layout, folder, shared=True)
    with pytest.raises(UsageError, match="The real images changed since"):
        note_looked_at(CHECKS, [], layout, folder, shared=True)


def test_splits_that_no_check_needs_may_change(
    real: ShardEntry, layout: Layout, folder: Path
) -> None:
    note_looked_at(find_checks([]), [real], layout, folder)
    assert not (folder / NOTE).exists()
    note_looked_at(CHECKS, [real], layout, folder, shared=True)
    more = replace(real, split="test", sha256="f" * 64)
    note_looked_at(CHECKS, [real, more], layout, folder, shared=True)


def test_the_note_goes_where_the_build_goes(
    real: ShardEntry, layout: Layout, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket()
    monkeypatch.setattr(Destination, "open", lambda _: bucket)
    sent = replace(layout, destination=Destination(url="s3://lab/folder"))
    note_looked_at(CHECKS, [real], sent, folder)
    note_looked_at(CHECKS, [real], sent, folder)
    with pytest.raises(UsageError, match="The real images changed since"):
        note_looked_at(CHECKS, [], sent, folder)
    assert list(bucket.files) == ["shards/gan1/looked-at.json"]
    assert not (folder / NOTE).exists()
