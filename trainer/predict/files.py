"""Image files into batches, prepared exactly as `xbuild` packs them."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from builder.contract import CheckError, UsageError, printable
from builder.contract.folder import check_links, image_files
from builder.contract.radiograph import BadImage, Reading, read_radiograph
from trainer.progress import progress
from trainer.stream.prefetch import prefetch

_TRIED = 50  # images of all, at even distances, before it is said that some can be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Image files by their names, which are paths below `root`."""

    root: Path
    names: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some images and the text columns of their rows."""

    texts: Mapping[str, Sequence[str]]  # column name → [B]
    images: torch.Tensor  # uint8 [B, 1, H, W]
    bad: tuple[BadImage, ...]  # left out


def find_images(paths: Sequence[Path]) -> Images:
    """The files as given; for one folder every image below it, sorted by path.

    UsageError where there is none, or where a link leads out of the folder.
    """
    if len(paths) == 1 and paths[0].is_dir():
        names = image_files(paths[0])
        if not names:
            raise UsageError(
                f"{paths[0]} holds no PNG, JPEG, TIFF or DICOM file: name a folder of images."
            )
        check_links(names, paths[0], advice="name the folder {}, or the files one by one")
        return Images(root=paths[0], names=names)
    if not paths:
        raise UsageError("There is no image to predict: name files, or a folder of them.")
    if folder := next((path for path in paths if path.is_dir()), None):
        raise UsageError(f"{folder} is a folder among other paths: name one folder, or files.")
    return Images(root=Path(), names=[str(path) for path in paths])


def read_ahead(
    images: Images,
    side: int,
    reading: Reading,
    *,
    size: int,
    workers: int,
    skip_bad: bool,
    pin: bool,
) -> Generator[Chunk, None, None]:
    """The images in order, uint8 [B, 1, side, side], `size` at a time.

    Each of `workers` threads makes a whole batch, at most `workers` + 2 ahead, in page-locked
    memory if `pin`. An image that cannot be read raises CheckError, or is left out.
    """
    load = partial(_load, images, side, reading, skip_bad=skip_bad, pin=pin)
    count = len(images.names)
    pieces = (slice(start, start + size) for start in range(0, count, size))
    loaded = prefetch(load, pieces, workers=workers)
    with closing(loaded), progress("predicting", count, waits=True) as advance:
        for chunk, waited in loaded:
            yield chunk
            advance(len(chunk.images) + len(chunk.bad), waited)


def _load(
    images: Images, side: int, reading: Reading, piece: slice, *, skip_bad: bool, pin: bool
) -> Chunk:
    names = images.names[piece]
    pixels = torch.empty((len(names), 1, side, side), dtype=torch.uint8, pin_memory=pin)
    good: list[str] = []
    bad: list[BadImage] = []
    for name in names:
        try:
            pixels.numpy()[len(good), 0] = read_radiograph(images.root / name, side, reading)
            good.append(_shown(name))
        except ValueError as error:
            bad.append(BadImage(image=_shown(name), reason=str(error)))
    if bad and not skip_bad:
        raise CheckError(_refusal(images, side, reading, bad[0], some=bool(good)))
    return Chunk(texts={"image": good}, images=pixels[: len(good)], bad=tuple(bad))


def _shown(name: str) -> str:
    return os.fsencode(name).decode(errors="backslashreplace")  # any bytes may be a file name


def _refusal(images: Images, side: int, reading: Reading, bad: BadImage, *, some: bool) -> str:
    """What is said of an image that cannot be read; `some` others can, or a few are tried."""
    what = f"{printable(bad.image, 300)} cannot be read ({bad.reason})"
    tried = images.names[:: max(1, len(images.names) // _TRIED)]
    if some or any(_can_read(images.root / name, side, reading) for name in tried):
        return f"{what}: repair it, or leave such images out with --skip-bad."
    if len(images.names) == 1:
        return f"{what}."
    return f"{what}, and no other of {len(tried):,} images that were tried can be."


def _can_read(file: Path, side: int, reading: Reading) -> bool:
    try:
        read_radiograph(file, side, reading)
    except ValueError:
        return False
    return True
