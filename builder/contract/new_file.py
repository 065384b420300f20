"""New files that are complete or absent, whatever else happens in their folder.

A file grows under a name that nobody can know beforehand, `.NAME.PID-TOKEN.tmp`, never through a
link, and locked while its writer lives. So what a killed process left can be told from what another
one, perhaps on another machine, is writing now: nobody holds its lock.
"""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from builder.contract.errors import UsageError
from builder.contract.paths import folder_below, open_file

_LEFT = re.compile(r"\..+\.[0-9]+(-[0-9a-f]+)?\.tmp", re.DOTALL)
_LINKS = os.O_NOFOLLOW | os.O_CLOEXEC


class NewFile:
    """A file that takes the place of `path` when it is completed; one thread at a time uses it."""

    def __init__(self, path: Path, root: Path | None = None) -> None:
        """The folder is made; OSError where that cannot be.

        With `root`, UsageError where the folder lies outside of it once all links are followed.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = folder_below(root, path.parent)
        self._name = path.name
        try:
            self.temporary, self.file = self._begun()
        except BaseException:
            os.close(self._folder)
            raise
        self._open = True

    def sync(self) -> None:
        """Bring what was written to the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def complete(self) -> None:
        """Bring the file to the disk and give it its name."""
        self.sync()
        os.replace(self.temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self.temporary = ""

    def complete_first(self) -> bool:
        """The same, unless a file has that name already: that one stays, and the answer is False.

        Where the file system has no hard links, nothing keeps two writers at once apart.
        """
        self.sync()
        try:
            os.link(self.temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError:
            return False
        except OSError:
            if _is_there(self._name, self._folder):
                return False
            self.complete()
        return True

    def discard(self) -> None:
        """Leave nothing of a file that was not completed; what is called again does nothing."""
        if not self._open:
            return
        self._open = False
        try:
            if self.temporary:
                with suppress(FileNotFoundError):
                    os.unlink(self.temporary, dir_fd=self._folder)
            self.file.close()  # writes what is buffered, which fails on a full disk
        finally:
            os.close(self._folder)

    def _begun(self) -> tuple[str, BinaryIO]:
        while True:
            name = temporary_name(self._name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _LINKS
            number = os.open(name, flags, 0o666, dir_fd=self._folder)
            file = os.fdopen(number, "wb", buffering=1 << 20)
            if _lock(number) is not False and _is_at(number, name, self._folder):
                return name, file
            file.close()  # between the two, somebody took it for a leftover


@contextmanager
def new_file(path: Path, root: Path | None = None) -> Iterator[BinaryIO]:
    """The open file that takes the place of `path` when the block ends without an error.

    Otherwise nothing is left of it. `root` as in `NewFile`.
    """
    new = NewFile(path, root)
    try:
        yield new.file
        new.complete()
    finally:
        new.discard()


def write_last(path: Path, data: bytes) -> None:
    """Write `data` so that `path` is complete or absent (temporary file, fsync, rename).

    If several processes or threads write it at once, the data of the last one stay.
    """
    with new_file(path) as file:
        file.write(data)


def write_first(path: Path, data: bytes) -> bool:
    """Whether `data` was written; a file that is there already stays as it is, and it was not."""
    new = NewFile(path)
    try:
        new.file.write(data)
        return new.complete_first()
    finally:
        new.discard()


def link(old: Path, new: Path) -> None:
    """Give a file a second name; copy it whole where the file system has no hard links.

    FileNotFoundError where there is no such file.
    """
    try:
        os.link(old, new)
    except OSError:
        with open_file(old) as source, new_file(new) as file:
            shutil.copyfileobj(source, file, 1 << 20)


def temporary_name(name: str) -> str:
    """A hidden name for what becomes the file `name`, which nobody can know beforehand."""
    return f".{name}.{os.getpid()}-{secrets.token_hex(8)}.tmp"


def refuse_link(folder: Path) -> None:
    """Raise UsageError where a folder that this program names by itself is a link to another."""
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link, which is not followed: remove it.")


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that died had begun to write in `folder`.

    What another process is writing stays, and so does everything where the file system has no
    locks. The folder need not exist; it is not followed where it is a link.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _LINKS)
        try:
            for name in os.listdir(number):  # noqa: PTH208 - of the folder that was opened
                if _LEFT.fullmatch(name):
                    _remove_left(name, number)
        finally:
            os.close(number)


def _remove_left(name: str, folder: int) -> None:
    with suppress(OSError):  # another user's, a link, or it has just gone
        number = os.open(name, os.O_RDWR | os.O_NONBLOCK | _LINKS, dir_fd=folder)
        try:
            regular = S_ISREG(os.fstat(number).st_mode)
            if regular and _lock(number) and _is_at(number, name, folder):
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(number)


def _lock(number: int) -> bool | None:
    """Whether the file is ours now; None where the file system has no locks."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(number: int, name: str, folder: int) -> bool:
    """Whether the name still means the open file."""
    with suppress(FileNotFoundError):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return os.path.samestat(os.fstat(number), found)
    return False


def _is_there(name: str, folder: int) -> bool:
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False
