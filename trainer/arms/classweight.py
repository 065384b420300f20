"""The weights of the arm `classweight`."""

import numpy as np

from builder.contract import Labels


def positive_weight(labels: Labels) -> tuple[float, ...]:
    """[L]: negatives / positives of labels [N, L] in {1, 0, -1}; 1 where one of them is missing."""
    positives, negatives = ((labels == value).sum(axis=0) for value in (1, 0))
    either = (positives > 0) & (negatives > 0)
    return tuple((np.where(either, negatives, 1) / np.where(either, positives, 1)).tolist())
