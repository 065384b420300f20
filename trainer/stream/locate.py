"""Where a dataset is: manifest, index and shards, in a folder or behind a URL."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from builder.contract import (
    CheckError,
    Index,
    Manifest,
    dataset_root,
    index_root,
    load_index,
    load_manifest,
)
from builder.store import Cache, Remote, is_url
from builder.store.dataset import fetch_manifest, split_url
from trainer.stream.shards import Bucket, Folder, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A dataset that was found; none of its shards has been read."""

    manifest: Manifest
    index: Index
    source: Source


def locate(shards: str, shards_root: str | None, cache: Cache) -> Located:
    """The dataset whose manifest is the file or URL `shards`.

    Its shards are in the manifest's dataset, or below the folder or URL `shards_root`. CheckError
    where manifest and index do not agree. Files behind a URL are kept in `cache`.
    """
    if is_url(shards):
        manifest, index = _remote(shards, cache)
        root = shards_root or split_url(shards)[0]
    elif shards_root and is_url(shards_root):
        manifest = load_manifest(Path(shards))
        index = load_index(manifest, index_root(manifest, Path(shards), None))
        root = shards_root
    else:
        return locate_folder(shards, shards_root)
    source: Source
    if is_url(root):
        source = Bucket(Remote(root, cache), manifest.shardlist, cache.max_bytes)
    else:
        source = Folder(Path(root))
    return Located(manifest=manifest, index=index, source=source)


def locate_folder(shards: str, shards_root: str | None) -> Located:
    """The dataset whose manifest is the file `shards` and whose shards lie in a folder.

    Nothing is fetched. CheckError where manifest and index do not agree.
    """
    path, root = Path(shards), Path(shards_root) if shards_root else None
    manifest = load_manifest(path)
    own = index_root(manifest, path, root)
    if not own.joinpath(manifest.index.url).is_file():  # as in a release with a real half
        raise CheckError(
            f"{path}: its index is not here: xbuild rebuild {path} ({manifest.index.url} is "
            f"missing under {own})."
        )
    index = load_index(manifest, own)
    source = Folder(root or dataset_root(path), shards)
    return Located(manifest=manifest, index=index, source=source)


def _remote(url: str, cache: Cache) -> tuple[Manifest, Index]:
    """Manifest and index behind a URL, through the same checks as files."""
    root, below = split_url(url)
    remote = Remote(root, cache)
    try:
        with TemporaryDirectory(prefix="xtrain-") as folder:
            manifest = load_manifest(fetch_manifest(remote, below, Path(folder)))
            return manifest, load_index(manifest, Path(folder))
    finally:
        remote.close()
