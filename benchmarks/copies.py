"""How many planted copies the detector finds, and how many honest radiographs it accuses.

    python benchmarks/copies.py                     # two thirds of ../shared/data/nih12k_128
    python benchmarks/copies.py --part development  # the third that the detector was developed on
    python benchmarks/copies.py --speed             # 10,000 against 20,000, made of these images
    python benchmarks/copies.py --manifest FILE     # 1 % of its synthetic images become copies

Patients are dealt by a hash of their number: to a third for development, and to two thirds for the
report, each half training and half held out. Planted copies are of training images. The held-out
images are judged as if they were synthetic, by a threshold that the other patients' images set (in
five parts). The most alike pairs of held-out and training images are named, since there may be
patients with two numbers among them.
"""

import argparse
import hashlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image
from rich.console import Console
from rich.table import Table

from builder.audit.copies import judge_copies
from builder.audit.copies.compare import search, searched
from builder.audit.copies.planted import KINDS, plant
from builder.audit.copies.threshold import accused_of, threshold_of
from builder.audit.pictures import open_sealed, read_pictures
from builder.audit.settings import Settings
from builder.contract.audit import Copies
from builder.progress import progress

FOLDER = Path(__file__).parents[2] / "shared/data/nih12k_128"


def read(names: list[str]) -> np.ndarray:
    """uint8 [N, 64, 64]: reduced as the audit does."""

    def one(name: str) -> np.ndarray:
        image = Image.open(FOLDER / "images" / name).convert("L")
        return np.asarray(image.resize((64, 64), Image.Resampling.BOX))

    with ThreadPoolExecutor() as threads:
        return np.stack([*threads.map(one, names)])


def place(patient: int) -> float:
    """Of a patient, in [0, 1)."""
    return int(hashlib.sha256(f"c18-{patient}".encode()).hexdigest()[:8], 16) / 2**32


def speed(images: np.ndarray) -> None:
    """Time of 10,000 images against 20,000; mirrored and shifted ones fill these numbers."""
    many = np.concatenate([images, images[:, :, ::-1], np.roll(images, 5, axis=1)])
    train, synthetic = many[:20_000], many[-10_000:]
    began, busy = time.perf_counter(), time.process_time()
    search(synthetic, searched(train), lambda _: None)
    wall, busy = time.perf_counter() - began, time.process_time() - busy
    print(f"{len(synthetic):,} images against {len(train):,}: {wall:.0f} s, {busy:.0f} CPU seconds")


def suspected(found: Copies) -> set[str]:
    """The keys of all suspects."""
    if found.suspects > len(found.listed):
        sys.exit(
            f"{found.suspects} images are suspected and only {len(found.listed)} are listed, so "
            "they cannot be counted by kind: take a dataset with fewer synthetic images."
        )
    return {suspect.key for suspect in found.listed}


def mixed(manifest: Path, seed: int) -> None:
    """Copies in place of 1 % of a dataset's synthetic images: how many are suspected, of each kind.

    All kinds are planted in turn; the other synthetic images are as they were.
    """
    sealed = open_sealed(manifest)
    with TemporaryDirectory() as folder:
        synthetic, train, held_out = (
            read_pictures(sealed, rows, Path(folder), progress)
            for rows in (
                sealed.rows("synthetic", ["train"]),
                sealed.rows("real", ["train"]),
                sealed.rows("real", ["val", "test"]),
            )
        )
        images = np.array(synthetic.reduced)
        before = judge_copies(synthetic, train, held_out, settings=Settings(), show=progress)
        each = max(1, len(images) // 100 // len(KINDS))
        random = np.random.default_rng(seed)
        places = random.permutation(len(images))[: each * len(KINDS)]
        copied = plant(train.reduced, each, seed + 1)
        images[places] = np.concatenate([copy.images for copy in copied])
        changed = replace(synthetic, reduced=images)
        after = judge_copies(changed, train, held_out, settings=Settings(), show=progress)
    print(
        f"{len(images):,} synthetic, {len(train):,} training, {after.held_out:,} held-out images; "
        f"threshold {after.threshold:.2f}; accused {after.accused} held-out images; suspects "
        f"{before.suspects}, with {len(places)} copies {after.suspects}; repeats "
        f"{before.duplicates}, with copies {after.duplicates}"
    )
    suspects = suspected(after)
    table = Table("kind", "planted among all of them", "suspected", "of planted ones in the audit")
    for number, (copy, audited) in enumerate(zip(copied, after.planted, strict=True)):
        keys = synthetic.keys[places[number * each : (number + 1) * each]]
        found = sum(key in suspects for key in keys)
        table.add_row(copy.kind, f"{each}", f"{found}", f"{audited.found} of {audited.planted}")
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("development", "report"), default="report")
    parser.add_argument("--planted", type=int, default=200, help="of each kind")
    parser.add_argument("--accused", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--manifest", type=Path)
    options = parser.parse_args()
    if options.manifest:
        mixed(options.manifest, options.seed)
        return
    table = pd.read_csv(FOLDER / "labels.csv")
    places = table.patient.map(place)
    if options.speed:
        speed(read([*table.image]))
        return
    edges = (0, 1 / 6, 1 / 3) if options.part == "development" else (1 / 3, 2 / 3, 1)
    sides = [table[(low <= places) & (places < high)] for low, high in pairwise(edges)]
    train, held_out = (read([*side.image]) for side in sides)
    among = searched(train)
    null = search(held_out, among, lambda _: None)
    threshold = threshold_of(null.alike, options.accused)
    patients = sides[1].patient.to_numpy().astype(str).astype(object)
    accused = accused_of(null.alike, patients, options.accused)
    share = 100 * accused / len(held_out)
    print(
        f"{len(train):,} training images of {sides[0].patient.nunique():,} patients; threshold "
        f"{threshold.value:.2f}; of {len(held_out):,} held-out images of "
        f"{sides[1].patient.nunique():,} others {accused} accused ({share:.3f} %)"
    )
    similarity = threshold.similarity(null.alike)
    for i in np.argsort(-similarity.max(axis=1))[:5]:
        j = null.rows[i, similarity[i].argmax()]
        names = sides[1].image.iloc[i], sides[0].image.iloc[j]
        print(f"  {names[0]} and {names[1]}: {similarity[i].max():.2f}")
    found = Table("kind", "planted", "found", "5 % are below")
    for copied in plant(train, options.planted, options.seed):
        alike = threshold.similarity(search(copied.images, among, lambda _: None).alike)
        alike = alike.max(axis=1)
        share = f"{100 * (alike > threshold.value).mean():.1f} %"
        low = f"{np.quantile(alike, 0.05):.1f}"
        found.add_row(copied.kind, f"{len(alike)}", share, low)
    Console(width=100).print(found)


if __name__ == "__main__":
    main()
