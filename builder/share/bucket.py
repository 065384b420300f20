"""A release into a bucket: every object whole and read back, SHA256SUMS last.

Nothing is sent to a place that holds other objects: a card's pattern would load their shards, too.
A release is there once its SHA256SUMS is. `builder.store.bucket` sends.
"""

from builder.contract import UsageError, printable
from builder.progress import Progress
from builder.share.check import SIGNATURE, SUMS
from builder.share.release import Release
from builder.store.bucket import BucketTarget
from builder.store.sending import Outgoing, made, mebibytes


def send_to_bucket(
    release: Release, url: str, *, signature: bytes | None, progress: Progress
) -> bool:
    """Whether anything was sent to s3:// or gs://; False where the release is there already.

    UsageError where the place holds anything else; CheckError where the store refuses, or does
    not give back what it was given.
    """
    target = BucketTarget(url)
    *files, sums = sorted(release.files, key=_order)
    there = target.names()
    if SUMS in there and not _has(target, sums):
        raise target.taken(SUMS)
    if signature is not None:
        files.append(made(SIGNATURE, signature))
    files.append(sums)
    own = {*(file.path for file in files), *([SIGNATURE] if SUMS in there else [])}
    _check_alone(target, there - own)
    sent = False
    with progress("sending", sum(mebibytes(file.size) for file in files), "MiB") as advance:
        for file in files:
            sent |= target.put([file], lambda _: None)
            advance(mebibytes(file.size))
    return sent


def _order(file: Outgoing) -> tuple[bool, bool]:
    return file.path == SUMS, file.path.startswith("manifests/")


def _has(target: BucketTarget, sums: Outgoing) -> bool:
    """Whether the SHA256SUMS that is there is this release's."""
    return target.size(SUMS) == sums.size and target.read(SUMS, sums.size) == sums.data


def _check_alone(target: BucketTarget, others: set[str]) -> None:
    """UsageError where there are objects besides the release's own."""
    if others:
        count = "1 file that is" if len(others) == 1 else f"{len(others)} files that are"
        raise UsageError(
            f"{target.shown} holds {count} no part of this release, such as "
            f"{printable(min(others))}: choose another place, or remove what nobody uses."
        )
