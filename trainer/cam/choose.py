"""Maps of positive images of a dataset, real and synthetic, drawn without looking at a score."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
from torch import nn

from builder.contract import Index, UsageError
from builder.contract.radiograph import BadImage
from trainer.cam.maps import AT_ONCE, Cam, Cams, make_cams
from trainer.stream.batches import Dataset, batches
from trainer.stream.order import Rows, random_words

IMAGES = 4  # per pathology, unless told otherwise


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
    pathologies = known(pathologies, outputs, "The classifier")
    pathologies = known(pathologies, data.manifest.pathologies, data.manifest.name)
    numbers = {name: outputs.index(name) for name in pathologies}
    rows = {name: _choose(data, name, images, split) for name in pathologies}
    every = np.unique(np.concatenate([np.arange(0), *rows.values()]))
    index, key = data.index, data.index.key
    made, bad = dict[tuple[str, str], Cam](), dict[str, str]()
    stream = batches(data, every, size=AT_ONCE, workers=workers, what="mapping")
    with closing(stream):
        for batch in stream:
            for cam in make_cams(model, numbers, batch.images, key[batch.rows.numpy()].tolist()):
                made[cam.pathology, cam.key] = cam
            bad |= {key[row]: reason for row, reason in batch.bad}
    shown = {name: [row for row in rows[name] if key[row] not in bad] for name in pathologies}
    return Cams(
        pathologies=pathologies,
        cams=tuple(
            replace(made[name, key[row]], origin=index.origin[row], split=index.split[row])
            for name in pathologies
            for row in shown[name]
        ),
        notes={
            name: _how_many(index, shown[name], split)
            for name in pathologies
            if len(shown[name]) < images
        },
        skipped=tuple(BadImage(image=image, reason=reason) for image, reason in bad.items()),
    )


def _choose(data: Dataset, pathology: str, count: int, split: str) -> Rows:
    """Up to `count` rows, real ones first."""
    index, number = data.index, data.manifest.pathologies.index(pathology)
    words = random_words(len(index), "cam", data.manifest.digest, pathology)

    def drawn(rows: Rows) -> Rows:
        return rows[np.argsort(words[rows])]

    real = data.rows(split, "real")
    synthetic = data.rows("train", "synthetic")
    rendered = synthetic[index.target[synthetic] == pathology]
    if not len(rendered):
        rendered = synthetic[index.labels[synthetic, number] == 1]
    rendered = drawn(rendered)[: count // 2]
    positive = drawn(real[index.labels[real, number] == 1])
    return np.concatenate([positive[: count - len(rendered)], rendered])


def _how_many(index: Index, rows: Sequence[int], split: str) -> str:
    """How many real images are among the rows, where there should be more."""
    found = sum(index.origin[row] == "real" for row in rows)
    return f"{found or 'no'} positive real {split} image{'' if found == 1 else 's'}"


def known(asked: Sequence[str], names: Sequence[str], who: str) -> tuple[str, ...]:
    """The names in `asked`, each once; UsageError lists `names` where one is not among them."""
    for name in asked:
        if name not in names:
            raise UsageError(f"{who} knows no {name!r}: choose from {', '.join(names)}.")
    return tuple(dict.fromkeys(asked))
