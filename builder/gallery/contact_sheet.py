"""A picture of a sealed dataset: for each pathology a row of real and a row of synthetic images."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from builder.audit.pictures import Sealed, read_image
from builder.contract import (
    Index,
    Manifest,
    Origin,
    ShardEntry,
    UsageError,
    check_shard,
    dataset_root,
    index_root,
    load_index,
    printable,
    write_last,
)

_MAX_ROWS = 20  # of a dataset without targets


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    title: str
    samples: list[int]  # rows of the index


def contact_sheet(
    manifest: Manifest,
    manifest_path: Path,
    out: Path,
    *,
    pathologies: Sequence[str] = (),
    root: Path | None = None,
    columns: int = 8,
    bring: Callable[[ShardEntry], None] = lambda _: None,
) -> bool:
    """Write a PNG with the first real and the first synthetic positives per pathology.

    Each real one is of another patient. All are read from the shards, which are below `root` if not
    beside the manifest; `bring` is called with each shard before it is read. Pathologies are the
    targets where none are named; without a plan, the first ones have a row of real images each. A
    synthetic image for a target was rendered for it. False, and no picture, where no training image
    has a positive label. UsageError for an unknown pathology, CheckError for a shard that is not
    the sealed one.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    _check_names(manifest, pathologies)
    sealed = Sealed(
        manifest=manifest,
        root=root or dataset_root(manifest_path),
        index=load_index(manifest, index_root(manifest, manifest_path, root)),
    )
    rows = _rows(manifest, sealed.index, pathologies, columns)
    if not rows:
        return False
    _check_shards(sealed, rows, bring)
    figure = Figure(figsize=(1.3 * columns + 1.6, 1.35 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        line[0].text(-0.1, 0.5, row.title, transform=line[0].transAxes, ha="right", va="center")
        for axis, sample in zip(line, row.samples, strict=False):
            axis.imshow(read_image(sealed, sample), cmap="gray", vmin=0, vmax=255)
    figure.suptitle(_title(manifest))
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    with Image.open(image) as picture:  # grey: a third of the bytes
        picture.convert("L").save(image := io.BytesIO(), "PNG", optimize=True)
    write_last(out, image.getvalue())
    return True


def _check_shards(
    sealed: Sealed, rows: Sequence[_Row], bring: Callable[[ShardEntry], None]
) -> None:
    """Raise CheckError where a shard that is drawn from is missing or another."""
    shown = {str(sealed.index.shard[sample]) for row in rows for sample in row.samples}
    for shard in sealed.manifest.shardlist:
        if shard.url in shown:
            bring(shard)
            check_shard(shard, sealed.root)


def _check_names(manifest: Manifest, pathologies: Sequence[str]) -> None:
    for name in pathologies:
        if name not in manifest.pathologies:
            raise UsageError(
                f"{manifest.name} has no pathology {printable(repr(name))}; it has "
                f"{', '.join(manifest.pathologies)}."
            )


def _rows(manifest: Manifest, index: Index, pathologies: Sequence[str], columns: int) -> list[_Row]:
    rows = []
    for name in pathologies or manifest.targets or manifest.pathologies[:_MAX_ROWS]:
        positive = index.labels[:, manifest.pathologies.index(name)] == 1
        origins: tuple[Origin, ...] = ("real", "synthetic")
        for origin in origins:
            mine = positive & (index.origin == origin) & (index.split == "train")
            if origin == "synthetic" and name in manifest.targets:
                mine &= index.target == name
            if mine.any():
                kind = "real label" if origin == "real" and _is_demo(manifest) else origin
                title = name if manifest.real_only else f"{name}\n{kind}"
                rows.append(_Row(title=title, samples=_first(index, mine, columns)))
    return rows


def _first(index: Index, mine: npt.NDArray[np.bool_], columns: int) -> list[int]:
    """The first rows of a mask, each of another patient: a patient's images look alike."""
    rows = np.flatnonzero(mine)
    patients = np.where(index.patient[rows] == "", index.key[rows], index.patient[rows])
    _, first = np.unique(patients, return_index=True)
    return [int(row) for row in rows[np.sort(first)[:columns]]]


def _title(manifest: Manifest) -> str:
    phantoms = "the real labels have phantom images" if _is_demo(manifest) else ""
    if manifest.real_only:
        return f"{manifest.name}: {phantoms or 'real images'}"
    also = f", and {phantoms}" if phantoms else ""
    return f"{manifest.name}: synthetic images by {manifest.generator_name}{also}"


def _is_demo(manifest: Manifest) -> bool:
    return manifest.dataset == "demo"
