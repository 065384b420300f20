"""The arm `classweight`: real images, rare positives weighted up in the loss."""

from dataclasses import replace

import numpy as np

from builder.contract import Labels
from trainer.arms.material import Arm, Material
from trainer.arms.none import none


def classweight(material: Material) -> Arm:
    """The real images alone, each positive weighted by negatives / positives."""
    return replace(none(material), positive_weight=positive_weight(material.labels("real")))


def positive_weight(labels: Labels) -> tuple[float, ...]:
    """[L]: negatives / positives of labels [N, L] in {1, 0, -1}; 1 where one of them is missing."""
    positives, negatives = ((labels == value).sum(axis=0) for value in (1, 0))
    either = (positives > 0) & (negatives > 0)
    return tuple((np.where(either, negatives, 1) / np.where(either, positives, 1)).tolist())
