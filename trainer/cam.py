"""Class activation maps: what in an image speaks for a pathology, and what against it.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016: the weights of
the output layer projected on the last convolutional maps. A map's cells are logits: their mean
plus the bias is the network's logit. Images are chosen by a keyed draw, never by their score.
"""

import io
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn
from torch.nn.functional import interpolate, relu

from builder.contract import Bytes, CheckError, UsageError, write_last
from builder.contract.radiograph import BadImage
from trainer.files import find_images, read_ahead
from trainer.locate import Located
from trainer.order import Rows, random_words
from trainer.predict import Classifier, load_classifier
from trainer.stream import Dataset, batches, open_dataset, scale

Map = npt.NDArray[np.float32]

GREY = "#5b6670"
FOR, AGAINST = (255, 96, 32), (32, 128, 255)  # told apart by the colour-blind, and from any grey
OPACITY = 0.65  # where a map is at its limit; the image still shows through
IMAGES = 4  # per pathology, unless told otherwise
MOST_IMAGES = 12  # beside each other, and
MOST_PATHOLOGIES = 15  # below each other: more do not make a sheet that can be read
CELL, GAP, HEAD, MARGIN, TOP, BAR = 1.5, 0.03, 0.27, 0.3, 1.0, 0.85  # inches
PAIR, ROW = 2 * CELL + GAP + 0.16, HEAD + CELL + 0.3
DPI = 160
AT_ONCE = 8  # images through the network; there are few of them in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Cam:
    """What an image says of one pathology."""

    pathology: str
    origin: str  # real or synthetic; "" for a file, as the split
    split: str
    key: str  # of the sample, or the file's name
    image: Bytes  # uint8 [H, W]
    map: Map  # [h, w], logits; positive speaks for the pathology
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cams:
    """The maps of several pathologies, what is missing of them, and the images left out."""

    pathologies: tuple[str, ...]
    cams: tuple[Cam, ...]
    notes: dict[str, str]  # by pathology: why it has fewer images than were asked for
    skipped: tuple[BadImage, ...]

    def of(self, pathology: str) -> list[Cam]:
        """Those of one pathology."""
        return [cam for cam in self.cams if cam.pathology == pathology]

    def limit(self, pathology: str) -> float:
        """The largest magnitude in its maps: one scale for all of them, so they compare."""
        return max((float(np.abs(cam.map).max()) for cam in self.of(pathology)), default=0.0)


@torch.inference_mode()
def activation_maps(
    model: nn.Module, images: torch.Tensor, pathologies: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(maps float32 [B, K, h, w], probabilities float32 [B, K]) on the CPU, of K outputs by number.

    `images` are uint8 [B, 1, H, W]; a cell covers 32×32 pixels. The bias is in no map. The model,
    a DenseNet of torchxrayvision, is left in evaluation mode.
    """
    network: Any = model.eval()
    last, chosen = network.classifier, list(pathologies)
    features = relu(network.features(scale(images.to(last.weight.device))))
    maps = torch.einsum("kc,bchw->bkhw", last.weight[chosen], features).float()
    logits = maps.mean(dim=(2, 3)) + last.bias[chosen]
    return maps.cpu(), torch.sigmoid(logits).cpu()


def overlay(image: Bytes, cam: Map, limit: float) -> Bytes:
    """uint8 [H, W, 3]: the map [h, w] as colour over the grey image [H, W].

    Orange speaks for the pathology, blue against it, the stronger the less transparent; zero
    leaves the image as it is, `limit` and beyond are equally strong. Cells are interpolated.
    """
    grown = interpolate(torch.from_numpy(cam)[None, None], image.shape, mode="bilinear")[0, 0]
    signed = (grown.numpy() / limit if limit > 0 else np.zeros(image.shape))[..., None]
    colour = np.where(signed > 0, FOR, AGAINST)
    opacity = OPACITY * np.abs(signed).clip(max=1)
    return np.rint(image[..., None] * (1 - opacity) + colour * opacity).astype(np.uint8)


def pictures(cam: Cam, limit: float) -> tuple[bytes, bytes]:
    """PNGs of the image and of its overlay, for a page."""
    return _png(cam.image), _png(overlay(cam.image, cam.map, limit))


def _png(pixels: Bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


# --- which images --------------------------------------------------------------------------------


def cams_of(
    data: Dataset,
    model: nn.Module,
    pathologies: Sequence[str],
    *,
    outputs: Sequence[str] | None = None,
    images: int = IMAGES,
    split: str = "test",
    workers: int = 1,
) -> Cams:
    """Maps of up to `images` positive images per pathology, the real ones first.

    Half of them are real ones of the split, half synthetic training images that were rendered for
    the pathology (or are positive, if none was); more real ones where there are fewer synthetic
    ones. `outputs` are the model's, where they are not the dataset's pathologies.
    """
    outputs = outputs or data.manifest.pathologies
    pathologies = _known(pathologies, outputs, "The classifier")
    pathologies = _known(pathologies, data.manifest.pathologies, data.manifest.name)
    rows = {name: _choose(data, name, images, split) for name in pathologies}
    numbers = {name: outputs.index(name) for name in pathologies}
    wanted = np.unique(np.concatenate([np.arange(0), *rows.values()]))
    made, bad = dict[tuple[str, str], Cam](), dict[str, str]()
    index, key = data.index, data.index.key
    stream = batches(data, wanted, size=AT_ONCE, workers=workers, what="mapping")
    with closing(stream):
        for batch in stream:
            at = batch.rows.numpy()
            for cam in _cams(model, numbers, batch.images, key[at]):
                made[cam.pathology, cam.key] = cam
            bad |= {key[row]: reason for row, reason in batch.bad}
    return Cams(
        pathologies=pathologies,
        cams=tuple(
            replace(made[name, key[row]], origin=index.origin[row], split=index.split[row])
            for name in pathologies
            for row in rows[name]
            if key[row] not in bad
        ),
        notes={
            name: f"{found or 'no'} positive real {split} image{'' if found == 1 else 's'}"
            for name in pathologies
            if len(rows[name]) < images
            for found in [int((index.origin[rows[name]] == "real").sum())]
        },
        skipped=tuple(BadImage(image=image, reason=reason) for image, reason in bad.items()),
    )


def _choose(data: Dataset, pathology: str, count: int, split: str) -> Rows:
    """Up to `count` rows, real ones first."""
    index, number = data.index, data.manifest.pathologies.index(pathology)

    def drawn(rows: Rows) -> Rows:
        """In an order that no score has a part in."""
        what = ("cam", data.manifest.digest, pathology)
        return rows[np.argsort(random_words(len(index), *what)[rows])]

    real = data.rows(split, "real")
    synthetic = data.rows("train", "synthetic")
    rendered = synthetic[index.target[synthetic] == pathology]
    if not len(rendered):
        rendered = synthetic[index.labels[synthetic, number] == 1]
    rendered = drawn(rendered)[: count // 2]
    positive = drawn(real[index.labels[real, number] == 1])
    return np.concatenate([positive[: count - len(rendered)], rendered])


def _cams(
    model: nn.Module,
    numbers: dict[str, int],
    images: torch.Tensor,
    keys: Sequence[str],
) -> list[Cam]:
    """Every image's, of no origin yet, for every pathology; `numbers` are the outputs' by name."""
    try:
        maps, probabilities = activation_maps(model, images, [*numbers.values()])
    except torch.OutOfMemoryError:
        raise UsageError(
            f"The device has not the memory for {len(images)} images: use --device cpu."
        ) from None
    if not maps.isfinite().all():
        raise CheckError("The weights are of no use: maps made with them hold what is no number.")
    return [
        Cam(
            pathology=pathology,
            origin="",
            split="",
            key=key,
            image=images[i, 0].numpy(),
            map=maps[i, k].numpy(),
            probability=float(probabilities[i, k]),
        )
        for i, key in enumerate(keys)
        for k, pathology in enumerate(numbers)
    ]


def _known(asked: Sequence[str], names: Sequence[str], who: str) -> tuple[str, ...]:
    """What was asked, each once; UsageError lists the names where one is not among them."""
    for name in asked:
        if name not in names:
            raise UsageError(f"{who} knows no {name!r}: choose from {', '.join(names)}.")
    return tuple(dict.fromkeys(asked))


# --- the sheet -----------------------------------------------------------------------------------


def sheet(cams: Cams) -> bytes:
    """A PNG: per pathology a row of images, each beside its overlay, and the scale of the colours.

    It says how coarse the maps are and which images are missing.
    """
    columns = max([2, *(len(cams.of(name)) for name in cams.pathologies)])
    heights = [ROW if cams.of(name) else HEAD for name in cams.pathologies]
    page = _Page(2 * MARGIN + columns * PAIR + BAR, MARGIN + TOP + sum(heights))
    shapes = sorted({"×".join(map(str, cam.map.shape)) for cam in cams.cams})
    page.text(MARGIN, MARGIN + 0.1, "Class activation maps", fontsize=13, fontweight="bold")
    page.text(
        MARGIN,
        MARGIN + 0.34,
        f"Maps of {' and '.join(shapes) or 'no'} cells, interpolated: finer shapes mean nothing."
        " Orange speaks for the pathology, blue against it.\nThe mean of a map plus the bias is the"
        " logit: an image of an unlikely pathology is blue all over. Each row has its own scale.",
        fontsize=8,
        color=GREY,
        va="top",
    )
    for name, above in zip(cams.pathologies, accumulate([0, *heights[:-1]]), strict=True):
        _row(page, cams, name, MARGIN + TOP + above, columns)
    return page.png()


class _Page:
    """A figure on which everything has its place in inches from the upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        """Nothing is drawn yet."""
        self._figure = Figure(figsize=(width, height), dpi=DPI)
        self._width, self._height = width, height

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        """Words that begin there, on that baseline; a $ in a file's name is no mathematics."""
        x, y = x / self._width, 1 - y / self._height
        self._figure.text(x, y, words, parse_math=False, **style)

    def picture(self, x: float, y: float, width: float, pixels: Bytes) -> None:
        """Pixels [H, W] or [H, W, 3] whose upper left corner is there, in a box CELL high."""
        box = (x / self._width, 1 - (y + CELL) / self._height)
        axes = self._figure.add_axes((*box, width / self._width, CELL / self._height))
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
        axes.set_anchor("NW")  # of the box, where the pixels have other proportions
        axes.set_axis_off()

    def png(self) -> bytes:
        """The page as it is now."""
        file = io.BytesIO()
        with warnings.catch_warnings():  # a name may have letters that the font lacks
            warnings.filterwarnings("ignore", "Glyph")
            self._figure.savefig(file, format="png")
        return file.getvalue()


def _row(page: _Page, cams: Cams, pathology: str, top: float, columns: int) -> None:
    limit, y = cams.limit(pathology), top + HEAD
    note = f": {cams.notes[pathology]}" if pathology in cams.notes else ""
    page.text(MARGIN, top, pathology + note, fontsize=10, fontweight="bold")
    for number, cam in enumerate(cams.of(pathology)):
        x = MARGIN + number * PAIR
        name = cam.key if len(cam.key) <= 24 else f"…{cam.key[-23:]}"
        name = f"{cam.origin}, {cam.split}" if cam.origin else name
        page.text(x, y - 0.05, name, fontsize=8)
        page.text(x + CELL + GAP, y - 0.05, f"probability {cam.probability:.2f}", fontsize=8)
        page.picture(x, y, CELL, cam.image)
        page.picture(x + CELL + GAP, y, CELL, overlay(cam.image, cam.map, limit))
    if limit:
        x = MARGIN + columns * PAIR
        scale = np.linspace(limit, -limit, 101, dtype=np.float32)[:, None]
        page.picture(x, y, 0.14, overlay(np.full((101, 9), 96, np.uint8), scale, limit))
        for words, at in ((f"{limit:+.2g} for", 0.0), ("0", 0.5), (f"−{limit:.2g} against", 1.0)):
            page.text(x + 0.2, y + 0.05 + at * (CELL - 0.1), words, fontsize=7, va="center")


# --- the command ---------------------------------------------------------------------------------


def cam_files(
    weights: Path,
    paths: Sequence[Path],
    *,
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
    check_png(out)
    found = find_images(paths)
    count = images or (IMAGES if paths[0].is_dir() else len(found.names))
    if count > MOST_IMAGES:
        raise UsageError(
            f"{count:,} images do not fit beside each other: name at most {MOST_IMAGES}, or take"
            " the first ones with --images."
        )
    classifier = load_classifier(weights, device)
    if classifier.height != classifier.width:
        raise UsageError(
            f"{weights} is for images of {classifier.height}×{classifier.width} pixels, and files"
            " are cut to squares: name a manifest of such a dataset instead."
        )
    names = _known(pathologies, classifier.pathologies, f"{weights}")
    names = names or _few_enough(classifier.pathologies)
    numbers = {name: classifier.pathologies.index(name) for name in names}
    chunks = read_ahead(
        replace(found, names=found.names[:count]),
        classifier.width,
        size=AT_ONCE,
        workers=workers,
        skip_bad=skip_bad,
        pin=False,
    )
    cams, bad = list[Cam](), list[BadImage]()
    with closing(chunks):
        for chunk in chunks:
            keys, bad = chunk.words["image"], [*bad, *chunk.bad]
            if keys:
                cams += _cams(classifier.model, numbers, chunk.images, keys)
    cams.sort(key=lambda cam: names.index(cam.pathology))
    made = Cams(pathologies=names, cams=tuple(cams), notes={}, skipped=tuple(bad))
    return _written(made, out)


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
    check_png(out)
    classifier, manifest = load_classifier(weights, device), found.manifest
    _check_size(weights, classifier, found)
    targets = [target.pathology for target in manifest.plan.targets]
    with open_dataset(
        manifest,
        found.index,
        source=found.source,
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
    return _written(cams, out)


def check_png(out: Path) -> None:
    """Raise UsageError unless the name of `out` is a picture's."""
    if out.suffix != ".png":
        raise UsageError(f"--out {out}: the name should end in .png.")


def _check_size(weights: Path, classifier: Classifier, found: Located) -> None:
    image = found.manifest.image
    if (image.height, image.width) != (classifier.height, classifier.width):
        raise UsageError(
            f"{weights} is for images of {classifier.height}×{classifier.width} pixels, and"
            f" {found.manifest.name} has {image.height}×{image.width}: name a dataset of the same"
            " size."
        )


def _few_enough(pathologies: Sequence[str]) -> tuple[str, ...]:
    if len(pathologies) > MOST_PATHOLOGIES:
        raise UsageError(
            f"{len(pathologies)} pathologies do not fit on a sheet: choose with --pathology from"
            f" {', '.join(pathologies)}."
        )
    return tuple(pathologies)


def _written(cams: Cams, out: Path) -> Cams:
    if not cams.cams:
        first = f"{cams.skipped[0].image}: {cams.skipped[0].reason}"
        raise CheckError(f"None of the {len(cams.skipped)} images can be read ({first}).")
    write_last(out, sheet(cams))
    return cams
