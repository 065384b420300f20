"""A sealed dataset once more, with altered copies of training images planted among its own.

    python benchmarks/planted.py MANIFEST --out FOLDER [--share 0.01]
    xbuild audit FOLDER/manifests/NAME.json
    python benchmarks/planted.py MANIFEST --out FOLDER --found FOLDER/audits/NAME.audit.json

A copy takes the place of a synthetic image, with its key and labels. There are eight kinds, as many
of each; planted.csv says which key is a copy of which image. With --found, what an audit listed as
suspects is compared with it. Real shards are linked. Never pass such a dataset on.
"""

import argparse
import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from builder.contract import (
    Bytes,
    Index,
    IndexEntry,
    Manifest,
    ShardEntry,
    dataset_root,
    decode_image,
    index_bytes,
    load_index,
    load_manifest,
    save_manifest,
    sha256_bytes,
    sketch_of,
    tar,
    write_last,
)
from builder.contract.audit import read_audit
from builder.write.encode import encode

Random = np.random.Generator
Alter = Callable[[Image.Image, Random], Image.Image]


def jpeg(image: Image.Image, random: Random) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(random.integers(50, 91)))
    return Image.open(file).convert("L")


def moved(image: Image.Image, turn: float, zoom: float, shift: tuple[float, float]) -> Image.Image:
    """Turned by degrees, magnified and shifted by pixels; what comes in repeats the border."""
    width, height = image.size
    pad = Image.fromarray(np.pad(np.asarray(image), max(width, height) // 4, mode="edge"))
    angle = np.deg2rad(turn)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x, y = pad.width / 2, pad.height / 2
    a, b = (width / 2, height / 2)
    matrix = (
        *(cos, sin, x - cos * (a + shift[0]) - sin * (b + shift[1])),
        *(-sin, cos, y + sin * (a + shift[0]) - cos * (b + shift[1])),
    )
    return pad.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BICUBIC
    )


def cropped(image: Image.Image, random: Random) -> Image.Image:
    width, height = image.size
    part = random.uniform(0.88, 0.96)
    left, top = (random.uniform(0, (1 - part) * side) for side in (width, height))
    box = (left, top, left + part * width, top + part * height)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def noisy(image: Image.Image, random: Random) -> Image.Image:
    pixels = np.asarray(image) + random.normal(0, random.uniform(2, 10), image.size[::-1])
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def side(random: Random, most: float) -> float:
    """Between a third of `most` and `most`, either way."""
    return float(random.uniform(most / 3, most) * random.choice([-1, 1]))


ALTERED: Mapping[str, Alter] = {
    "JPEG": jpeg,
    "flip": lambda image, _: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "shift": lambda image, random: moved(
        image, 0, 1, (side(random, image.width / 16), side(random, image.height / 16))
    ),
    "crop": cropped,
    "brightness": lambda image, random: ImageEnhance.Brightness(image).enhance(
        1 + side(random, 0.25)
    ),
    "rotation up to 3°": lambda image, random: moved(image, side(random, 3), 1, (0, 0)),
    "zoom up to 1.1": lambda image, random: moved(image, 0, random.uniform(1.03, 1.1), (0, 0)),
    "noise up to 10": noisy,
}


def image_at(manifest: Manifest, index: Index, root: Path, row: int) -> Bytes:
    with (root / str(index.shard[row])).open("rb") as file:
        file.seek(int(index.offset[row]))
        return decode_image(file.read(int(index.size[row])), manifest.image)


def copies_of(
    manifest: Manifest, index: Index, root: Path, share: float, seed: int
) -> dict[str, tuple[str, str, Bytes]]:
    """Key of a synthetic image → key of a training image, kind, and the altered copy."""
    random = np.random.default_rng(seed)
    train = np.flatnonzero((index.origin == "real") & (index.split == "train"))
    fake = np.flatnonzero(index.origin == "synthetic")
    count = round(share * len(fake))
    found = {}
    for number, (row, of) in enumerate(
        zip(random.permutation(fake)[:count], random.permutation(train)[:count], strict=True)
    ):
        kind = [*ALTERED][number % len(ALTERED)]
        image = Image.fromarray(image_at(manifest, index, root, int(of)))
        pixels = np.asarray(ALTERED[kind](image, random).convert("L"))
        found[str(index.key[row])] = (str(index.key[of]), kind, pixels)
    return found


def rewritten(
    entry: ShardEntry,
    manifest: Manifest,
    root: Path,
    out: Path,
    planted: Mapping[str, tuple[str, str, Bytes]],
) -> tuple[ShardEntry, list[int], list[int], list[npt.NDArray[np.uint8]]]:
    """The shard with the copies in it: its entry, and offsets, sizes and sketches of its images."""
    data = bytearray()
    offsets, sizes, sketches, lines = [], [], [], []
    codec = manifest.image.codec
    for member in tar.walk(root / entry.url, codec, manifest.image.max_bytes):
        image = member.image
        if member.key in planted:
            image = encode(np.ascontiguousarray(planted[member.key][2]), manifest.image)
        offsets.append(len(data) + tar.BLOCK)
        sizes.append(len(image))
        sketches.append(sketch_of(decode_image(image, manifest.image)))
        lines.append(tar.idx_line(member.key, codec, offsets[-1], len(image), len(member.json)))
        for name, content in ((codec, image), ("json", member.json)):
            data += tar.header(f"{member.key}.{name}", len(content)) + content
            data += tar.padding(len(content))
    data += tar.END
    write_last(out / entry.url, bytes(data))
    write_last((out / entry.url).with_suffix(".idx"), tar.idx_text(lines))
    return (
        replace(entry, filesize=len(data), sha256=sha256_bytes(bytes(data))),
        offsets,
        sizes,
        sketches,
    )


def plant(path: Path, out: Path, share: float, seed: int) -> None:
    manifest, root = load_manifest(path), dataset_root(path)
    index = load_index(manifest, root)
    index = replace(
        index,
        offset=index.offset.copy(),
        size=index.size.copy(),
        sketch=index.sketch.copy(),
    )
    planted = copies_of(manifest, index, root, share, seed)
    entries, start = [], 0
    for entry in manifest.shardlist:
        rows = slice(start, start + entry.nsamples)
        start = rows.stop
        if entry.origin == "real":
            for file in (Path(entry.url), Path(entry.url).with_suffix(".idx")):
                (out / file).parent.mkdir(parents=True, exist_ok=True)
                if not (out / file).exists():
                    os.link(root / file, out / file)
            entries.append(entry)
            continue
        made, offsets, sizes, sketches = rewritten(entry, manifest, root, out, planted)
        entries.append(made)
        index.offset[rows], index.size[rows] = offsets, sizes
        if index.sketch.size:
            index.sketch[rows] = sketches
    data = index_bytes(index, manifest.pathologies)
    write_last(out / manifest.index.url, data)
    entry = IndexEntry(url=manifest.index.url, rows=len(index), sha256=sha256_bytes(data))
    own = replace(manifest, index=entry, shardlist=tuple(entries))
    with (out / "planted.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["key", "of", "kind"])
        table.writerows([key, of, kind] for key, (of, kind, _) in planted.items())
    save_manifest(own, out / "manifests" / f"{manifest.name}.json")
    print(f"{len(planted)} copies among {manifest.name}'s synthetic images: {out}/planted.csv")


def compare(out: Path, record: Path) -> None:
    copies = read_audit(record).copies
    assert copies is not None, "the audit did not look for copies"
    suspects = {suspect.key: suspect.of for suspect in copies.listed}
    with (out / "planted.csv").open(newline="") as file:
        planted = list(csv.DictReader(file))
    total = Counter(row["kind"] for row in planted)
    found = Counter(row["kind"] for row in planted if suspects.get(row["key"]) == row["of"])
    for kind in ALTERED:
        print(f"{kind:20} {found[kind]:4} of {total[kind]:4}")
    others = {*suspects} - {row["key"] for row in planted}
    print(f"{copies.suspects:,} suspects ({len(suspects):,} listed); {len(others)} are no copies")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--found", type=Path)
    asked = parser.parse_args()
    if asked.found:
        compare(asked.out, asked.found)
    else:
        plant(asked.manifest, asked.out, asked.share, asked.seed)


if __name__ == "__main__":
    main()
