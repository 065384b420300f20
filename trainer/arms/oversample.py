"""The control `oversample`: a real image with the same labels in place of each synthetic one."""

from collections import defaultdict

import numpy as np

from builder.contract import CheckError, Index, Manifest, sha256_bytes
from trainer.stream.batches import Dataset
from trainer.stream.order import Rows, random_words


def twins(data: Dataset, *, seed: int) -> Rows:
    """[N]: for each synthetic row a real training row with the same labels, else the row itself.

    Rows with the same labels serve in turn, so none is copied twice before each was copied once.
    CheckError where a synthetic image has labels that no real training image has.
    """
    index = data.index
    groups = defaultdict(list)
    real = data.rows("train", "real")
    words = random_words(len(index), "twins", data.manifest.digest, seed)
    for row in real[np.argsort(words[real], kind="stable")].tolist():
        groups[index.labels[row].tobytes()].append(row)
    found, turn = np.arange(len(index)), defaultdict[bytes, int](int)
    for row in data.rows("train", "synthetic").tolist():
        labels = index.labels[row].tobytes()
        if not (group := groups.get(labels)):
            raise CheckError(
                f"{index.key[row]} has labels that no real training image has: --arm oversample"
                " cannot balance like this dataset."
            )
        found[row] = group[turn[labels] % len(group)]
        turn[labels] += 1
    return found


def control_digest(manifest: Manifest, index: Index) -> str:
    """A sha256 of all that the arms without synthetic pixels depend on, the order's key apart.

    Datasets that agree in it differ in the pixels of their synthetic images alone, so the control
    runs of one serve the others too.
    """
    real = [shard.sha256 for shard in manifest.shardlist if shard.origin == "real"]
    drawn = index.labels[index.origin == "synthetic"]
    return sha256_bytes(" ".join(real).encode() + b" " + drawn.tobytes())
