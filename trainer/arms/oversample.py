"""The arm `oversample`: gan's balance without its pixels, as a control of the generator.

Each synthetic image is replaced by a real one with the same labels.
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from builder.contract import CheckError
from trainer.arms.gan import gan
from trainer.arms.material import Arm, Material
from trainer.stream.batches import Dataset
from trainer.stream.order import Rows, random_words


def oversample(material: Material) -> Arm:
    """The gan arm's batches, with a real image in the place of each synthetic one."""
    arm = gan(material)
    stand_in = twins(material.data, seed=material.recipe.seed)
    return replace(arm, order=replace(arm.order, stand_in=stand_in))


def twins(data: Dataset, *, seed: int) -> Rows:
    """[N]: for each synthetic row a real training row with the same labels, else the row itself.

    Rows with the same labels take turns, so none is used twice before each was used once.
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
                " cannot repeat this dataset's balance."
            )
        found[row] = group[turn[labels] % len(group)]
        turn[labels] += 1
    return found
