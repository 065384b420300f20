"""`xtrain cam`: the sheet of image files, or of a dataset's images, written to a PNG."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch

from builder.contract import CheckError, UsageError, write_last
from builder.contract.radiograph import BadImage, Reading
from trainer.cam.choose import IMAGES, cams_of, known
from trainer.cam.maps import AT_ONCE, Cam, Cams, make_cams
from trainer.cam.sheet import sheet
from trainer.predict import load_classifier
from trainer.predict.files import find_images, read_ahead
from trainer.stream.batches import open_dataset
from trainer.stream.locate import Located

MAX_IMAGES = 12  # next to each other, and
MAX_PATHOLOGIES = 15  # below each other: more do not make a sheet that can be read


def cam_files(
    weights: Path,
    paths: Sequence[Path],
    *,
    reading: Reading,
    pathologies: Sequence[str],
    images: int | None,
    out: Path,
    workers: int,
    device: torch.device,
    skip_bad: bool,
) -> Cams:
    """The maps on the sheet that was written to `out`, of every file, or a folder's first ones.

    `images` says how many. Without `pathologies` they are all that the weights know. An image that
    cannot be read raises CheckError, and nothing is written; with `skip_bad` it is left out.
    """
    _check_png(out)
    found = find_images(paths)
    count = images or (IMAGES if paths[0].is_dir() else len(found.names))
    if count > MAX_IMAGES:
        raise UsageError(
            f"{count:,} images do not fit next to each other: name at most {MAX_IMAGES}, or take"
            " the first ones with --images."
        )
    classifier = load_classifier(weights, device)
    if classifier.height != classifier.width:
        raise UsageError(
            f"{weights} is for images of {classifier.height}×{classifier.width} pixels, and files"
            " are cut to squares: name a manifest of such a dataset instead."
        )
    names = known(pathologies, classifier.pathologies, str(weights))
    names = names or _few_enough(classifier.pathologies)
    numbers = {name: classifier.pathologies.index(name) for name in names}
    chunks = read_ahead(
        replace(found, names=found.names[:count]),
        classifier.width,
        reading,
        size=AT_ONCE,
        workers=workers,
        skip_bad=skip_bad,
        pin=False,
    )
    made, skipped = list[Cam](), list[BadImage]()
    with closing(chunks):
        for chunk in chunks:
            skipped += chunk.bad
            if len(chunk.images):
                made += make_cams(classifier.model, numbers, chunk.images, chunk.texts["image"])
    made.sort(key=lambda cam: names.index(cam.pathology))
    cams = Cams(pathologies=names, cams=tuple(made), notes={}, skipped=tuple(skipped))
    return _write(cams, out)


def cam_shards(
    weights: Path,
    found: Located,
    *,
    pathologies: Sequence[str],
    images: int | None,
    split: str,
    out: Path,
    workers: int,
    device: torch.device,
    skip_bad: bool,
) -> Cams:
    """The maps on the sheet that was written to `out`, of the images that `cams_of` chooses.

    Without `pathologies` they are the plan's targets, or all where it has none. An image that
    cannot be read raises CheckError, and nothing is written; with `skip_bad` it is left out.
    """
    _check_png(out)
    classifier, manifest = load_classifier(weights, device), found.manifest
    image = manifest.image
    if (image.height, image.width) != (classifier.height, classifier.width):
        raise UsageError(
            f"{weights} is for images of {classifier.height}×{classifier.width} pixels, and"
            f" {manifest.name} has {image.height}×{image.width}: name a dataset of the same size."
        )
    targets = manifest.targets
    with open_dataset(
        found,
        workers=workers,
        skip_bad=skip_bad,
        prove=False,  # only the shards that are read
    ) as data:
        cams = cams_of(
            data,
            classifier.model,
            pathologies or targets or _few_enough(manifest.pathologies),
            outputs=classifier.pathologies,
            images=images or IMAGES,
            split=split,
            workers=workers,
        )
    if not cams.cams and not cams.skipped:
        raise UsageError(
            f"{manifest.name} has no {split} image that is positive for"
            f" {' or '.join(cams.pathologies)}: see --split and --pathology."
        )
    return _write(cams, out)


def _check_png(out: Path) -> None:
    """Raise UsageError unless the name of `out` is a picture's."""
    if out.suffix != ".png":
        raise UsageError(f"--out {out}: the name should end in .png.")


def _few_enough(pathologies: Sequence[str]) -> tuple[str, ...]:
    """All of them; UsageError where they do not fit on a sheet."""
    if len(pathologies) > MAX_PATHOLOGIES:
        raise UsageError(
            f"{len(pathologies)} pathologies do not fit on a sheet: choose with --pathology from"
            f" {', '.join(pathologies)}."
        )
    return tuple(pathologies)


def _write(cams: Cams, out: Path) -> Cams:
    """The maps, once their sheet is on disk; CheckError where no image could be read."""
    if not cams.cams:
        first = f"{cams.skipped[0].image}: {cams.skipped[0].reason}"
        raise CheckError(f"None of the {len(cams.skipped)} images can be read ({first}).")
    write_last(out, sheet(cams))
    return cams
