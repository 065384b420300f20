"""The image files below a folder, without what file systems and archives add to them."""

import os
from pathlib import Path

from builder.contract.dicom import is_dicom
from builder.contract.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom")
_NO_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "thumbnails", "thumbs")  # lower case


def image_files(root: Path) -> list[str]:
    """The images below a folder, sorted: their paths from there, with slashes.

    They are known by their suffix in any case; DICOM files also without one, as archives export
    them. Hidden files and folders, thumbnails and what macOS adds are left out. Links are followed,
    each folder once. Raises UsageError for a folder that may not be read.
    """
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = [("", root)]
    while waiting:
        below, folder = waiting.pop()
        try:
            status, entries = folder.stat(), [*os.scandir(folder)]
        except OSError as error:
            raise UsageError(f"Cannot read the folder {folder}: {error.strerror}.") from None
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.name.lower() not in _NO_FOLDERS:
                    waiting.append((f"{below}{entry.name}/", Path(entry.path)))
            elif entry.is_file() and _is_image(Path(entry.path)):
                found.append(below + entry.name)
    return sorted(found)


def _is_image(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return True
    # IM0001, or a UID such as 1.2.840.10008; a DICOMDIR is the list of such files.
    bare = not suffix or suffix[1:].isdigit()
    return bare and file.name.upper() != "DICOMDIR" and _readable_dicom(file)


def _readable_dicom(file: Path) -> bool:
    try:
        return is_dicom(file)
    except OSError:  # the reader will say so of images; this may be none
        return False
