"""Where the files of a build go that is not a folder: a bucket, or a dataset on the Hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from builder.contract import UsageError
from builder.store.bucket import BucketTarget
from builder.store.hub import HubTarget
from builder.store.sending import Advance, Alive, Outgoing
from builder.store.url import without_secrets

SCHEMES = ("s3", "gs", "hf")


class Target(Protocol):
    """What takes files, whole and one after another, and writes none over."""

    @property
    def shown(self) -> str:
        """The URL as messages may show it."""

    def prepare(self) -> None:
        """Make the place, where that can be done."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Name → bytes of the files in a folder; none where it is not there."""

    def size(self, path: str) -> int | None:
        """The bytes of a file; None where there is none."""

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """A small file, None where there is none; CheckError where it has more bytes."""

    def put(self, files: Sequence[Outgoing], advance: Advance) -> bool:
        """Whether anything was sent; all files are there in the end, the last one last.

        UsageError where another one is in the place of one. `advance` is called with bytes sent,
        with 0 meanwhile, and ends all where it raises.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A place by its URL, so that every process can open it for itself."""

    url: str

    @property
    def shown(self) -> str:
        """The URL as messages may show it."""
        return without_secrets(self.url)

    def open(self, alive: Alive = lambda: None) -> Target:
        """What takes the files; UsageError where the library that it needs is missing.

        `alive` is called while an answer is waited for, and ends the wait where it raises.
        """
        on_hub = self.url.startswith("hf:")
        return HubTarget(self.url, alive) if on_hub else BucketTarget(self.url, alive)


def destination_of(url: str) -> Destination:
    """The place that a URL names; UsageError where files cannot be sent there."""
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES or "::" in url or "?" in url or not rest.strip("/"):
        raise UsageError(
            f"{without_secrets(url)} is no place to build into: give a folder, s3://BUCKET/FOLDER, "
            "gs://BUCKET/FOLDER or hf://datasets/OWNER/NAME."
        )
    return Destination(url=url.rstrip("/"))
