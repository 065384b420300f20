"""How good is a shuffle within a window of shards, compared with a shuffle of everything?

    python benchmarks/shuffle.py demo/manifests/gan1.json

Measures over the batches of some epochs: how much the number of positives varies from batch to
batch, how often two images of a batch belong to one patient, and how many shards a batch reads.
The first two are relative to a full shuffle (1.00). Real and synthetic images are spread evenly, so
the variation may be smaller than 1.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from builder.contract import Index, dataset_root, load_index, load_manifest
from trainer.stream.order import WINDOW, Order, Part, Rows

EPOCHS = 5


def pairs(ids: np.ndarray) -> int:
    """Pairs of equal ids."""
    counts = np.unique(ids, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def measure(index: Index, shard: Rows, epochs: list[Rows], batch: int) -> dict[str, float]:
    """The three figures for these epochs; `shard` [N] is the number of each row's shard."""
    positives, patients, shards = [], 0, []
    for rows in epochs:
        for start, stop in pairwise(range(0, len(rows) + 1, batch)):
            inside = rows[start:stop]
            positives.append((index.labels[inside] == 1).sum(axis=0))
            known = index.patient[inside]
            patients += pairs(known[known != ""])
            shards.append(len({*shard[inside].tolist()}))
    return {
        "scatter of positives": float(np.std(positives, axis=0).mean()),
        "pairs of one patient": patients,
        "shards in a batch": float(np.mean(shards)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    manifest = load_manifest(options.manifest)
    index = load_index(manifest, dataset_root(options.manifest))
    counts = [entry.nsamples for entry in manifest.shardlist]
    shard = np.repeat(np.arange(len(counts)), counts)
    train = {
        origin: np.flatnonzero((index.split == "train") & (index.origin == origin))
        for origin in ("real", "synthetic")
    }
    parts = tuple(
        Part(name=origin, rows=rows, shards=shard[rows], count=len(rows))
        for origin, rows in train.items()
        if len(rows)
    )
    order = Order(key=f"{manifest.digest} 0", parts=parts)
    rng, everything = np.random.default_rng(0), np.concatenate([*train.values()])
    ways = {
        f"windows of {WINDOW} shards": [order.epoch(n) for n in range(1, EPOCHS + 1)],
        "full shuffle": [rng.permutation(everything) for _ in range(EPOCHS)],
        "no shuffle": [everything] * EPOCHS,
    }
    found = {way: measure(index, shard, rows, options.batch) for way, rows in ways.items()}
    base = found["full shuffle"]
    table = Table(title=f"{manifest.name}: {len(everything):,} images in {len(counts)} shards")
    for column in ("", *base):
        table.add_column(column, justify="right" if column else "left")
    for way, values in found.items():
        ratios = (f"{values[name] / max(base[name], 1e-9):.2f}" for name in [*base][:2])
        table.add_row(way, *ratios, f"{values['shards in a batch']:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
