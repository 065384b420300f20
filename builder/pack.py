"""Rows of a label table → Picture: real radiographs as the pixels that are sealed.

The demo's "radiographs" are phantoms of the rows' own labels. They come from here too, so that
nothing after this step knows the difference; the manifest says it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from builder.contract import Sample
from builder.contract import Split as SplitName
from builder.contract.folder import Inside
from builder.contract.radiograph import BadImage, Reading, read_radiograph
from builder.draw import latents
from builder.generators import load
from builder.labels import LabelTable
from builder.render import BATCH, Picture, condition

_DEMO_SEED = 2021  # the demo is one dataset: its images do not change with the build's seed


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePainter:
    """Pictures from image files; `names` are those of the samples' files, in order.

    `depths` are the bits of grey that the table says for each file, 0 where it says none; a depth
    that the user gives counts instead.
    """

    folder: Path
    inside: Inside
    names: tuple[str, ...]
    depths: tuple[int, ...]
    image_size: int
    reading: Reading
    redraws: None = field(default=None, init=False)  # a real image is not drawn again

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture | BadImage]:
        """The picture of each sample's file in order, or why it has none."""
        for sample, name, depth in zip(samples, self.names, self.depths, strict=True):
            said = depth > 0 and self.reading.depth is None
            reading = replace(self.reading, depth=depth) if said else self.reading
            try:
                if not self.inside.holds(self.folder / name):
                    raise ValueError("a link out of the image folder")
                pixels = read_radiograph(self.folder / name, self.image_size, reading)
            except ValueError as error:
                hint = f" ({depth} bits is what the table says)" if said else ""
                yield BadImage(
                    image=name, reason=f"{error}{hint if '--depth' in str(error) else ''}"
                )
            else:
                yield Picture(sample=sample, pixels=pixels)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomPainter:
    """The demo's radiographs: phantoms of the samples' labels; `rows` are their table rows."""

    rows: tuple[int, ...]
    pathologies: tuple[str, ...]
    image_size: int
    redraws: None = field(default=None, init=False)

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture]:
        """The phantom of each sample in order."""
        phantom = load("phantom", self.image_size)
        shown = condition(samples, self.pathologies, phantom.labels)
        for start in range(0, len(samples), BATCH):
            part = slice(start, start + BATCH)
            anatomy = latents(
                self.rows[part], phantom.latent_size, seed=_DEMO_SEED, name="demo patient"
            )
            for sample, pixels in zip(samples[part], phantom(anatomy, shown[part]), strict=True):
                yield Picture(sample=sample, pixels=pixels)


def real_painter(
    table: LabelTable, rows: Sequence[int], image_size: int, reading: Reading
) -> FilePainter | PhantomPainter:
    """What produces the pictures of the table's `rows`."""
    if table.dataset == "demo":
        return PhantomPainter(
            rows=tuple(rows), pathologies=table.pathologies, image_size=image_size
        )
    assert table.root is not None, "the pipeline refuses a table without images before this step"
    part = table.rows.iloc[list(rows)]
    return FilePainter(
        folder=table.root,
        inside=Inside(table.root, table.links_to),
        names=tuple(part["file"].tolist()),
        depths=tuple(part["depth"].tolist()),
        image_size=image_size,
        reading=reading,
    )


def real_samples(
    table: LabelTable, rows: Sequence[int], split: SplitName, seed: int
) -> Iterator[Sample]:
    """The samples of the table's `rows`, without pixels.

    Keys and patients are hashes keyed by the seed and the table's content: whoever has the table
    can link them, as they can link the images themselves; the manifest alone does not suffice.
    """
    salt = hashlib.blake2b(str(seed).encode(), key=table.salt, digest_size=32).digest()

    def hashed(text: str) -> str:
        return hashlib.blake2b(text.encode(), digest_size=8, key=salt).hexdigest()

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
