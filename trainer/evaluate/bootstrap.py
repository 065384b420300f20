"""The AUC in every resample of the patients: 2,000 resamples in about a second.

A resample draws patients with replacement, each with all its images, for images of one patient are
not independent. The same ones serve every arm, seed and pathology, so that differences are paired.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from builder.contract import Labels
from trainer.stream.order import Rows, random_words

RESAMPLES = 2000
CHUNK = 256  # resamples at a time, to bound the memory

Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]
Counts = npt.NDArray[np.float32]  # whole numbers; exact up to 2^24


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmAucs:
    """The AUC of every seed of one arm, per pathology; nan where a class is missing."""

    auc: Floats  # [S, L], of the images as they are
    resampled: Floats  # [S, L, R]
    patients: Rows  # [L], those with a positive or those with a negative, whichever are fewer


def resample(patients: int, resamples: int, *, seed: int) -> Counts:
    """float32 [P, R]: how often each patient is in each resample, drawn with replacement."""
    counts = np.empty((resamples, patients), np.float32)
    for number in range(resamples):
        drawn = random_words(patients, "bootstrap", seed, number) % np.uint64(patients)
        counts[number] = np.bincount(drawn.astype(np.int64), minlength=patients)
    return np.ascontiguousarray(counts.T)


def arm_aucs(
    labels: Labels,
    scores: Scores,
    patients: Rows,
    counts: Counts,
    *,
    threads: int = 2,
) -> ArmAucs:
    """AUCs of scores [S, N, L] for labels [N, L] in {1, 0, -1 = unknown}, in all resamples.

    `patients` int [N] are rows of `counts` [P, R].
    """
    whole = np.ones((len(counts), 1), np.float32)
    starts = range(0, counts.shape[1], CHUNK)
    blocks = [whole, *(np.ascontiguousarray(counts[:, s : s + CHUNK]) for s in starts)]
    seeds, _, pathologies = scores.shape

    def one(place: tuple[int, int]) -> Floats:
        seed, i = place
        return _aucs(labels[:, i], scores[seed, :, i], patients, blocks)

    with ThreadPoolExecutor(threads) as pool:
        found = np.array(list(pool.map(one, np.ndindex(seeds, pathologies))))
    found = found.reshape(seeds, pathologies, -1)
    fewer = [
        min(len(np.unique(patients[labels[:, i] == known])) for known in (0, 1))
        for i in range(pathologies)
    ]
    return ArmAucs(auc=found[..., 0], resampled=found[..., 1:], patients=np.array(fewer))


def _aucs(labels: Labels, scores: Scores, patients: Rows, blocks: Sequence[Counts]) -> Floats:
    """float64: the AUC in each resample of all blocks; equal scores count one half.

    An image drawn twice weighs twice, so one sort serves all resamples. The images of the larger
    class are summed between the scores of the smaller: a sparse matrix [scores + 1, P] times counts
    is twice the weight under each score, and what equals it once.
    """
    classes = [np.flatnonzero(labels == known) for known in (0, 1)]
    few, many = sorted(classes, key=len)
    levels, place = np.unique(scores[few], return_inverse=True)
    ends = [np.searchsorted(levels, scores[many], side) for side in ("left", "right")]
    size, columns = len(levels) + 1, len(blocks[0])
    at = _sums(place, patients[few], (size, columns))
    below = _sums(np.concatenate(ends), np.tile(patients[many], 2), (size, columns))
    found = np.concatenate([_wins(at @ block, below @ block) for block in blocks])
    return 1 - found if few is classes[0] else found


def _sums(rows: Rows, columns: Rows, shape: tuple[int, int]) -> csr_array:
    """The matrix that counts each (row, column)."""
    return csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)


def _wins(at: Counts, below: Counts) -> Floats:
    """The share of pairs in the right order; `at`, `below` [scores + 1, R], `at` ends empty."""
    np.cumsum(below, axis=0, out=below)
    wins = np.einsum("ir,ir->r", at, below, dtype=np.float64)
    pairs = at.sum(axis=0, dtype=np.float64) * below[-1]
    shares = np.full(len(pairs), np.nan)
    np.divide(wins, pairs, out=shares, where=pairs > 0)
    return shares
