"""A picture of a sealed dataset: for each target a row of real and a row of synthetic images."""

import io
from pathlib import Path

import numpy as np

from builder.contract import (
    Bytes,
    Index,
    Manifest,
    dataset_root,
    decode_image,
    load_index,
    write_last,
)


def contact_sheet(manifest: Manifest, manifest_path: Path, out: Path, columns: int = 8) -> None:
    """A PNG at `out`: per target a row of real and a row of synthetic positives from the shards."""
    from matplotlib.figure import Figure
    from PIL import Image

    root = dataset_root(manifest_path)
    index = load_index(manifest, root)
    rows = []
    for target in manifest.plan.targets:
        positive = index.labels[:, manifest.pathologies.index(target.pathology)] == 1
        for origin in ("real", "synthetic"):
            mine = positive & (index.origin == origin) & (index.split == "train")
            if origin == "synthetic":
                mine &= index.target == target.pathology
            if mine.any():
                kind = "real label" if origin == "real" and _is_demo(manifest) else origin
                rows.append((f"{target.pathology}\n{kind}", np.flatnonzero(mine)[:columns]))
    if not rows:
        return
    figure = Figure(figsize=(1.3 * columns + 1.6, 1.35 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (title, samples) in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        line[0].text(-0.1, 0.5, title, transform=line[0].transAxes, ha="right", va="center")
        for axis, row in zip(line, samples.tolist(), strict=False):
            axis.imshow(_image_at(manifest, root, index, row), cmap="gray", vmin=0, vmax=255)
    drawn = ", and the real labels have phantom images" if _is_demo(manifest) else ""
    figure.suptitle(f"{manifest.name}: synthetic images by {manifest.generator['name']}{drawn}")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    with Image.open(image) as picture:  # grey: a third of the bytes
        picture.convert("L").save(image := io.BytesIO(), "PNG", optimize=True)
    write_last(out, image.getvalue())


def _is_demo(manifest: Manifest) -> bool:
    return bool(manifest.source.get("dataset") == "demo")


def _image_at(manifest: Manifest, root: Path, index: Index, row: int) -> Bytes:
    with (root / index.shard[row]).open("rb") as file:
        file.seek(int(index.offset[row]))
        return decode_image(file.read(int(index.size[row])), manifest.image)
