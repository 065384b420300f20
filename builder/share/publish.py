"""A composed release to where people find it: a folder, the Hugging Face Hub, or a bucket."""

from pathlib import Path

from builder.contract import UsageError, printable
from builder.progress import Progress
from builder.share.bucket import send_to_bucket
from builder.share.hub import send_to_hub
from builder.share.release import Release
from builder.share.sign import sign
from builder.share.writing import write_release
from builder.store import is_url
from builder.store.url import without_secrets

STORES = ("s3", "gs")


def check_place(place: str) -> None:
    """UsageError where nothing can be published to the place."""
    scheme = place.partition("://")[0]
    if is_url(place) and scheme not in (*STORES, "hf"):
        raise UsageError(
            f"--to is {printable(repr(without_secrets(place)))}: give a folder, "
            "hf://datasets/OWNER/NAME or s3://BUCKET/FOLDER."
        )


def publish(
    release: Release, place: str, *, key: Path | None, gated: bool, progress: Progress
) -> bool:
    """Whether anything was written; False where the same release is there already, and whole.

    `key` signs it; `gated` readers of the Hub must agree to the card's text before they read.
    UsageError where something else is in its place.
    """
    check_place(place)
    if not is_url(place):
        return write_release(release, Path(place), key=key, progress=progress)
    signature = None if key is None else sign(release.sums, key)
    if place.startswith("hf:"):
        return send_to_hub(release, place, signature=signature, gated=gated, progress=progress)
    return send_to_bucket(release, place, signature=signature, progress=progress)
