"""Probabilities of every pathology for images: files, a folder, or sealed shards.

Files are prepared exactly as `xbuild` packs them, at the size that the weights were trained on.
Rows have the order of the input; the CSV or parquet file is complete or absent. Memory does not
grow with the number of images, except for the list of their names.

Where `batch` is None, the probabilities of a run's own shards are those of its report, bit for bit:
scores are computed in one way, on the same kind of device.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from builder.contract import CheckError, UsageError
from builder.contract.radiograph import BadImage, Reading
from trainer.fit.score import logits_of, probabilities_of, scoring_batch
from trainer.predict.classifier import Classifier, load_classifier
from trainer.predict.files import Chunk, find_images, read_ahead
from trainer.predict.table import check_suffix, open_table
from trainer.stream.batches import Batch, Dataset, batches, open_dataset
from trainer.stream.locate import Located


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """How many rows were written, and which images were left out."""

    images: int
    skipped: tuple[BadImage, ...]


def predict_files(
    weights: Path,
    paths: Sequence[Path],
    *,
    reading: Reading,
    out: Path,
    batch: int | None,
    workers: int,
    device: torch.device,
    skip_bad: bool,
) -> Predicted:
    """What was written to `out`: `image` and a probability per pathology, for `find_images(paths)`.

    `workers` threads read batches ahead, by the rule `reading`. An image that cannot be read raises
    CheckError, and nothing is written; with `skip_bad` it has no row.
    """
    check_suffix(out)
    batch = batch or scoring_batch(device)
    images = find_images(paths)
    classifier = load_classifier(weights, device)
    if classifier.height != classifier.width:
        raise UsageError(
            f"{weights} is for images of {classifier.height}×{classifier.width} pixels, and files"
            " are cut to squares: predict the shards of such a dataset instead."
        )
    chunks = read_ahead(
        images,
        classifier.width,
        reading,
        size=batch,
        workers=workers,
        skip_bad=skip_bad,
        pin=device.type == "cuda",
    )
    with closing(chunks):
        return _write(classifier, chunks, ("image",), out, batch)


def predict_shards(
    weights: Path,
    found: Located,
    *,
    split: str,
    out: Path,
    batch: int | None,
    workers: int,
    device: torch.device,
    skip_bad: bool,
) -> Predicted:
    """What was written to `out`: `key`, `split`, `origin` and a probability per pathology.

    `split` is train, val, test or all; rows in sealed order. An image that cannot be read raises
    CheckError, and nothing is written; with `skip_bad` it has no row.
    """
    check_suffix(out)
    batch = batch or scoring_batch(device)
    classifier, image = load_classifier(weights, device), found.manifest.image
    if (image.height, image.width) != (classifier.height, classifier.width):
        raise UsageError(
            f"{weights} is for images of {classifier.height}×{classifier.width} pixels, and"
            f" {found.manifest.name} has {image.height}×{image.width}: predict a dataset of the"
            " same size."
        )
    with open_dataset(
        found,
        workers=workers,
        skip_bad=skip_bad,
        prove=False,  # only the shards that are read
    ) as data:
        rows = np.arange(len(data.index)) if split == "all" else data.rows(split)
        if not len(rows):
            raise UsageError(f"{found.manifest.name} has no {split} images: see --split.")
        stream = batches(data, rows, size=batch, workers=workers, what="predicting", device=device)
        with closing(stream):
            chunks = map(partial(_sealed, data), stream)
            return _write(classifier, chunks, ("key", "split", "origin"), out, batch)


def _sealed(data: Dataset, batch: Batch) -> Chunk:
    """The images of a batch that were read."""
    index, bad = data.index, dict(batch.bad)
    good = np.array([row not in bad for row in batch.rows.tolist()])
    rows = batch.rows.numpy()[good]
    return Chunk(
        texts={name: getattr(index, name)[rows] for name in ("key", "split", "origin")},
        images=batch.images if good.all() else batch.images[torch.from_numpy(good)],
        bad=tuple(BadImage(image=index.key[row], reason=why) for row, why in bad.items()),
    )


def _write(
    classifier: Classifier, chunks: Iterable[Chunk], texts: Sequence[str], out: Path, batch: int
) -> Predicted:
    images, skipped = 0, list[BadImage]()
    with open_table(out, texts, classifier.pathologies) as rows:
        for chunk in chunks:
            skipped += chunk.bad
            if len(chunk.images):
                images += len(chunk.images)
                rows.add(chunk.texts, _probabilities(classifier, chunk.images, batch))
        if not images:
            first = f"{skipped[0].image}: {skipped[0].reason}"
            raise CheckError(f"None of the {len(skipped):,} images can be read ({first}).")
    return Predicted(images=images, skipped=tuple(skipped))


def _probabilities(classifier: Classifier, images: torch.Tensor, batch: int) -> torch.Tensor:
    """float32 [B, L] on the CPU; B is at most `batch`."""
    try:
        moved = images.to(classifier.device, non_blocking=True)
        logits = logits_of(classifier.model, moved, size=batch)
    except torch.OutOfMemoryError:
        raise UsageError(
            f"{classifier.device} does not have the memory for a single image: use --device cpu."
        ) from None
    return probabilities_of(logits)
