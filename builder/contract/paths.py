"""Paths that stay below a root, files that are files, and their sha256.

A path of a stranger is never opened by its name alone: no `..`, no link out of the root, no line
break, and what is opened is a regular file, so that no pipe lets anybody wait for ever.
"""

import hashlib
import os
import re
from io import BufferedReader
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from builder.contract.errors import CheckError, UsageError, printable

_MAX_URL = 255  # characters
_URL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe is opened at once, and refused


def dataset_root(manifest_path: Path) -> Path:
    """The folder that holds `manifests/`, or the manifest's own folder when it is not in one."""
    folder = manifest_path.absolute().parent
    return folder.parent if folder.name == "manifests" else folder


def check_url(url: str) -> None:
    """Raise CheckError unless `url` is a plain relative path: no scheme, no `..`, not absolute."""
    path = PurePosixPath(url)
    if not _URL.fullmatch(url) or len(url) > _MAX_URL or ".." in path.parts or str(path) != url:
        raise CheckError(
            f"The path {printable(repr(url))} is refused: only plain relative paths are allowed."
        )


def resolve(root: Path, url: str) -> Path:
    """The file that `url` names below `root`; CheckError unless it is plain and stays inside."""
    check_url(url)
    found = root.joinpath(*PurePosixPath(url).parts)
    try:
        inside = found.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # links that lead to each other
        inside = False
    if not inside:
        raise CheckError(
            f"The path {printable(repr(url))} leads out of the dataset's root {root}: refused."
        )
    return found


def open_file(path: Path) -> BufferedReader:
    """The regular file `path`, open for reading; CheckError where it is a pipe, folder or device.

    OSError where there is none.
    """
    return _regular(os.open(path, _FILE), path)


def open_below(root: Path, url: str) -> BufferedReader:
    """The regular file that `url` names below `root`, open for reading; otherwise CheckError.

    Links inside of the root are followed. Nothing outside is opened, even if somebody changes the
    folders meanwhile.
    """
    path = resolve(root, url)
    try:
        real = path.resolve(strict=True)
        folder = folder_below(root, real.parent)
        try:
            number = os.open(real.name, _FILE | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
        return _regular(number, path)
    except UsageError as error:
        raise CheckError(str(error)) from None
    except OSError as error:
        raise CheckError(
            f"Cannot read {url} under {root} ({error.strerror}): check the path and its rights."
        ) from None


def folder_below(root: Path | None, folder: Path) -> int:
    """A descriptor of the folder, which the caller closes; without `root`, wherever it leads.

    UsageError where it lies outside of `root` once all links are followed.
    """
    if root is None:
        return os.open(folder, _FOLDER)
    top, real = root.resolve(), folder.resolve()
    if not real.is_relative_to(top):
        raise UsageError(
            f"{folder} leads out of {root} by a link, which no reader of the dataset would follow: "
            "use the place that it leads to as --out."
        )
    number = os.open(top, _FOLDER)
    for part in real.relative_to(top).parts:
        outer = number
        try:
            number = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=outer)
        finally:
            os.close(outer)
    return number


def _regular(number: int, path: Path) -> BufferedReader:
    if not S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise CheckError(f"{printable(str(path), 300)} is no file but a folder, pipe or device.")
    return os.fdopen(number, "rb")


def sha256_bytes(data: bytes) -> str:
    """The sha256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The sha256 of a file, in hex; CheckError where it is a pipe, folder or device."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
