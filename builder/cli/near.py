"""The MANIFEST of a command, a file or a URL → the dataset on this disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.next_step import check_here
from builder.contract import Manifest, UsageError
from builder.store.url import without_secrets

if TYPE_CHECKING:
    from builder.store.dataset import Near


@contextmanager
def dataset_near(
    manifest: Path | str, shards_root: Path | None = None, *, cached: bool = True
) -> "Iterator[Near]":
    """The dataset of MANIFEST, its manifest and index on this disk.

    UsageError for --shards-root beside a URL. `cached` as in `builder.store.dataset.near`.
    """
    from builder.store.dataset import near

    if isinstance(manifest, str) and shards_root is not None:
        raise UsageError(
            "--shards-root is for a manifest on this disk: shards behind a URL lie beside theirs."
        )
    with near(manifest, cached=cached) as here:
        yield here


def check_there(here: "Near", manifest: Manifest, root: Path | None) -> None:
    """CheckError where shards or the index are absent, on this disk or behind the URL."""
    from builder.store.dataset import check_present

    if here.remote is None:
        check_here(manifest, here.path, root)
    else:
        check_present(here, manifest)


def bring_all(here: "Near", manifest: Manifest) -> None:
    """All shards on this disk, with a progress bar while they come."""
    from builder.progress import progress

    if here.remote is not None:
        with progress("fetching", manifest.index.rows) as advance:
            here.bring_all(manifest.shardlist, advance)


def results_in(manifest: Path | str, folder: str, out: Path | None) -> Path | None:
    """Where results go: `out`, or for a URL a folder of the current one; None: the usual place."""
    return out or (Path(folder) if isinstance(manifest, str) else None)


def shown_place(manifest: Path | str) -> str:
    """MANIFEST as messages may show it."""
    return str(manifest) if isinstance(manifest, Path) else without_secrets(manifest)
