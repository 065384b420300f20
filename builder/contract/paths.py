"""Paths that stay below a dataset's root, files that are complete or absent, and their sha256."""

import hashlib
import os
import re
import secrets
from pathlib import Path, PurePosixPath

from builder.contract.errors import CheckError, printable

_URL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


def dataset_root(manifest_path: Path) -> Path:
    """The folder that holds `manifests/`, or the manifest's own folder when it is not in one."""
    folder = manifest_path.absolute().parent
    return folder.parent if folder.name == "manifests" else folder


def check_url(url: str) -> None:
    """Raise CheckError unless `url` is a plain relative path: no scheme, no `..`, not absolute."""
    path = PurePosixPath(url)
    if not _URL.fullmatch(url) or ".." in path.parts or str(path) != url:
        raise CheckError(
            f"The path {printable(repr(url))} is refused: only plain relative paths are allowed."
        )


def resolve(root: Path, url: str) -> Path:
    """The file that `url` names below `root`; CheckError unless it is plain and stays inside."""
    check_url(url)
    found = root.joinpath(*PurePosixPath(url).parts)
    if not found.resolve().is_relative_to(root.resolve()):
        raise CheckError(f"The path {url!r} leads out of the dataset's root {root}: refused.")
    return found


def write_last(path: Path, data: bytes) -> None:
    """Write `data` so that `path` is complete or absent (temporary file, fsync, rename).

    If several processes or threads write it at once, the data of the last one stay.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_bytes(data: bytes) -> str:
    """The sha256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
