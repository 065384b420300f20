"""The images that are in no shard, listed for people: left out, or rejected → CSV."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from builder.contract import CheckError, write_last
from builder.write import Shard


def report_bad_images(shards: Sequence[Shard], report: Path, *, skip_bad: bool) -> None:
    """List the images that could not be packed in `report`; CheckError unless `skip_bad`."""
    bad = [image for shard in shards for image in shard.bad]
    if not bad:
        report.unlink(missing_ok=True)  # of a run before the images were repaired
        return
    _write(report, ("image", "reason"), ((image.image, image.reason) for image in bad))
    if not skip_bad:
        raise CheckError(
            f"{len(bad)} real images cannot be packed, the first is {bad[0].image} "
            f"({bad[0].reason}); all are listed in {report}: repair them, or leave them out by "
            "--skip-bad."
        )
    if not any(s.sample.split == "train" for shard in shards for s in shard.stored):
        raise CheckError(f"No real training image could be packed; the reasons are in {report}.")


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
    csv.writer(text).writerows([columns, *rows])
    write_last(path, text.getvalue().encode())
