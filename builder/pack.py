"""Real radiographs as the same uint8 [H, W] pixels, through the same writer.

The demo's "radiographs" are phantoms of the row's own labels; they come from here too, so that
nothing after this step knows the difference. The manifest says it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from builder.contract import Sample
from builder.contract.radiograph import BadImage, read_radiograph
from builder.draw import latents
from builder.generators import load
from builder.labels import LabelTable
from builder.render import BATCH, Picture, condition

_DEMO_SEED = 2021  # the demo is one dataset: its images do not change with the build's seed


def real_samples(table: LabelTable, rows: Sequence[int], split: str, seed: int) -> Iterator[Sample]:
    """The samples of the table's `rows`, without pixels.

    Keys and patients are hashes keyed by seed and the table's content: whoever has the table can
    link them, as they can link the images themselves; the manifest alone does not suffice.
    """
    salt = hashlib.blake2b(str(seed).encode(), key=table.salt, digest_size=32).digest()

    def hashed(word: str) -> str:
        return hashlib.blake2b(word.encode(), digest_size=8, key=salt).hexdigest()

    part = table.rows.iloc[list(rows)]
    columns = (part[name] for name in ("image", "patient", "view", "sex", "age"))
    for image, patient, view, sex, age, labels in zip(
        *columns, table.labels[list(rows)].tolist(), strict=True
    ):
        yield Sample(
            key=f"real-{hashed(image)}",
            split=split,
            origin="real",
            target="",
            draw=-1,
            patient=hashed(patient),
            labels=tuple(labels),
            view=view,
            sex=sex,
            age=age,
        )


def pack_files(
    samples: Sequence[Sample], *, root: Path, names: Sequence[str], image_size: int
) -> Iterator[Picture | BadImage]:
    """The picture of each sample's file in order, uint8 [image_size, image_size], or why not."""
    for sample, name in zip(samples, names, strict=True):
        try:
            yield Picture(sample=sample, pixels=read_radiograph(root / name, image_size))
        except ValueError as error:
            yield BadImage(image=name, reason=str(error))


def pack_phantoms(
    samples: Sequence[Sample],
    *,
    numbers: Sequence[int],
    pathologies: Sequence[str],
    image_size: int,
) -> Iterator[Picture]:
    """The demo's radiographs: phantoms of the samples' labels; `numbers` are their table rows."""
    phantom = load("phantom", image_size)
    shown = condition(samples, pathologies, phantom.labels)
    for start in range(0, len(samples), BATCH):
        rows = slice(start, start + BATCH)
        anatomy = latents(numbers[rows], phantom.latent_size, seed=_DEMO_SEED, name="demo patient")
        for sample, pixels in zip(samples[rows], phantom(anatomy, shown[rows]), strict=True):
            yield Picture(sample=sample, pixels=pixels)
