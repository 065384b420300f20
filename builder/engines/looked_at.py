"""The real images that checks looked at, noted beside the synthetic shards.

The limits of `copy`, `classifier` and some checks of other packages come from the real images. A
build that is resumed when those have changed, as with --skip-bad, would seal images of two limits.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from builder.checks import Check
from builder.contract import CheckError, ShardEntry, UsageError, sha256_bytes, write_last
from builder.contract.new_file import write_first
from builder.contract.record import MAX_JSON, read_bytes
from builder.recipe import Layout
from builder.store.sending import made

NOTE = "looked-at.json"


def note_looked_at(
    checks: Sequence[Check],
    real: Iterable[ShardEntry],
    layout: Layout,
    folder: Path,
    *,
    shared: bool = False,
) -> None:
    """Note the sha256 over those of the real shards of each split that a check needs.

    UsageError where `folder`, or the place that its shards are sent to, was begun with other ones.
    `shared` with parts that begin at this moment.
    """
    splits = sorted({split for check in checks for split in check.needs})
    if not splits:
        return
    entries = [*real]
    sums = {split: [each.sha256 for each in entries if each.split == split] for split in splits}
    text = json.dumps({split: sha256_bytes("".join(sums[split]).encode()) for split in splits})
    if _kept(text.encode(), layout, folder, shared=shared):
        return
    names = ", ".join(check.identity for check in checks if check.needs)
    raise UsageError(
        f"The real images changed since {folder} was begun, and {names} takes its limits from "
        f"them: remove {folder} to render all again, or use another --name."
    )


def _kept(text: bytes, layout: Layout, folder: Path, *, shared: bool) -> bool:
    """Whether the note stands in the folder and there, and no other one did."""
    path = folder / NOTE
    if layout.destination is not None:
        target, url = layout.destination.open(), path.relative_to(layout.root).as_posix()
        there = target.read(url, MAX_JSON)
        if there is None:
            target.put([made(url, text)], lambda _: None)
        return there in (None, text)
    begun = any(folder.glob("*.tar"))
    if not begun and not shared:
        write_last(path, text)
        return True
    return write_first(path, text) or _read(path) == text


def _read(path: Path) -> bytes | None:
    try:
        return read_bytes(path)
    except CheckError:
        return None
