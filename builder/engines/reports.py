"""The images that are in no shard, listed for people: left out, or rejected → CSV."""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from builder.contract import SPLITS, CheckError, UsageError, printable, write_last
from builder.contract import Split as SplitName
from builder.contract.radiograph import BadImage
from builder.contract.spreadsheet import as_text
from builder.write import Shard

_TRAIN: tuple[SplitName, ...] = ("train",)
_LONGEST = 300  # signs of a path or a reason in a message


def report_bad_images(
    shards: Sequence[Shard],
    report: Path,
    *,
    skip_bad: bool,
    asked: Collection[SplitName] | None = _TRAIN,
) -> None:
    """List the images that could not be packed in `report`.

    CheckError unless `skip_bad`, and always where none of a split that was `asked` for is left;
    UsageError where not one image can be packed: then an option or a folder is the wrong one. With
    None asked for, these are some of many shards, and others may hold what is not left here.
    """
    bad = [image for shard in shards for image in shard.bad]
    if not bad:
        report.unlink(missing_ok=True)  # of a run before the images were repaired
        return
    _write(report, ("image", "reason"), ((image.image, image.reason) for image in bad))
    splits = {each.sample.split for shard in shards for each in shard.stored}
    listed = f"all are listed in {report}"
    if not splits and (asked is not None or not skip_bad):
        raise UsageError(
            f"None of the {len(bad):,} real images can be packed: {why(bad)}; {listed}."
        )
    for split in SPLITS:
        if split in (asked or ()) and split not in splits:
            name = "training" if split == "train" else split
            raise CheckError(f"No real {name} image could be packed: {why(bad)}; {listed}.")
    if not skip_bad:
        images = "image" if len(bad) == 1 else "images"
        raise CheckError(
            f"{len(bad):,} real {images} cannot be packed, the first is {_shown(bad[0])}; "
            f"{listed}: repair them, or leave them out by --skip-bad."
        )


def kinds_of(bad: Iterable[BadImage]) -> Counter[str]:
    """How many images are bad for each kind of reason: reasons that differ in numbers are one."""
    return Counter(re.sub(r"\d+", "0", image.reason) for image in bad)


def why(bad: Sequence[BadImage]) -> str:
    """The common reason why images cannot be packed, with the first image that it holds for."""
    kinds = kinds_of(bad)
    ((kind, count),) = kinds.most_common(1)
    first = next(image for image in bad if kinds_of([image])[kind])
    share = "all for one reason" if len(kinds) == 1 else f"{count:,} of them for one reason"
    return f"{share}, the first is {_shown(first)}"


def _shown(bad: BadImage) -> str:
    return f"{printable(bad.image, _LONGEST)} ({printable(bad.reason, _LONGEST)})"


def report_rejects(shards: Sequence[Shard], report: Path) -> Mapping[str, int]:
    """The number of rejected images for each reason; all are listed in `report`."""
    rejects = [reject for shard in shards for reject in shard.rejects]
    if not rejects:
        report.unlink(missing_ok=True)
        return {}
    rows = ((r.sample.key, r.sample.target, r.sample.draw, r.reason) for r in rejects)
    _write(report, ("key", "target", "draw", "reason"), rows)
    return dict(sorted(Counter(reject.reason for reject in rejects).items()))


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    cells = ([as_text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    csv.writer(text).writerows([columns, *cells])
    write_last(path, text.getvalue().encode())
