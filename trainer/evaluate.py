"""AUC per pathology with a 95 % interval, on images that no epoch was trained or chosen on.

The interval is a bootstrap over patients, for images of one patient are not independent. All
figures come from the probabilities as `predictions.parquet` holds them.
"""

import io
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from builder.contract import Labels
from trainer.control import Place
from trainer.order import Rows, random_words
from trainer.score import auc, outputs
from trainer.stream import Dataset

RESAMPLES = 1000
CHUNK = 50  # resamples at a time, to bound the memory

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a split says about one pathology; `missing` says why a figure is not there."""

    pathology: str
    positives: int
    negatives: int
    unknown: int
    auc: float | None
    low: float | None  # 95 % interval
    high: float | None
    missing: str  # "" where nothing is


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Scores per pathology in the manifest's order; `test` is empty where there are no images."""

    val: tuple[Score, ...]
    test: tuple[Score, ...]
    predictions: bytes  # a parquet file, val then test in sealed order
    unread: dict[int, str]  # reason by row of images that were not read; their labels are unknown


def evaluate(data: Dataset, model: nn.Module, place: Place, *, batch: int, seed: int) -> Evaluation:
    """Scores and predictions of the model on val and test; intervals on test."""
    val, test = data.rows("val"), data.rows("test")
    rows = np.concatenate([val, test])
    found = outputs(data, model, rows, place, size=batch, what="val and test")
    probabilities = torch.sigmoid(found.logits).numpy()
    split = len(val)
    scored = partial(_scores, data, seed=seed)
    return Evaluation(
        val=scored(val, found.labels[:split], probabilities[:split], resamples=0),
        test=scored(test, found.labels[split:], probabilities[split:], resamples=RESAMPLES)
        if len(test)
        else (),
        predictions=_parquet(data, rows, found.labels, probabilities),
        unread=found.unread,
    )


def _scores(
    data: Dataset, rows: Rows, labels: Labels, probabilities: Floats, *, resamples: int, seed: int
) -> tuple[Score, ...]:
    index = data.index
    names = np.where(index.patient[rows] == "", index.key[rows], index.patient[rows]).astype(str)
    patients = np.unique(names, return_inverse=True)[1]
    counts = resample(int(patients.max()) + 1, resamples, seed=seed)
    return tuple(
        _score(name, labels[:, i], probabilities[:, i], patients, counts)
        for i, name in enumerate(data.manifest.pathologies)
    )


def _score(
    name: str, labels: Labels, probabilities: Floats, patients: Rows, counts: Counts
) -> Score:
    low = high = None
    value, missing = auc(labels, probabilities), ""
    if value is None:
        missing = f"no AUC, for no image is {'negative' if (labels == 1).any() else 'positive'}"
    elif counts.size and any(len(np.unique(patients[labels == known])) < 2 for known in (0, 1)):
        missing = "no interval, for all positives or all negatives are one patient's"
    elif counts.size:
        spread = bootstrap_auc(labels, probabilities, patients, counts)
        low, high = (float(end) for end in np.nanquantile(spread, (0.025, 0.975)))
    return Score(
        pathology=name,
        positives=int((labels == 1).sum()),
        negatives=int((labels == 0).sum()),
        unknown=int((labels < 0).sum()),
        auc=value,
        low=low,
        high=high,
        missing=missing,
    )


def resample(patients: int, resamples: int, *, seed: int) -> Counts:
    """int32 [P, R]: how often each patient is in each resample, drawn with replacement."""
    counts = np.zeros((patients, resamples), np.int32)
    for number in range(resamples):
        drawn = random_words(patients, "bootstrap", seed, number) % np.uint64(patients)
        counts[:, number] = np.bincount(drawn.astype(np.int64), minlength=patients)
    return counts


def bootstrap_auc(
    labels: Labels, scores: Floats, patients: Rows, counts: Counts
) -> npt.NDArray[np.float64]:
    """float64 [R]: the AUC over the known labels [N] in each resample of the patients.

    `patients` int [N] are rows of `counts` [P, R]. nan where a resample misses a class. An image
    drawn twice weighs twice, so one sort serves all resamples; equal scores count one half.
    """
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    negative = negative[np.argsort(scores[negative])]
    below = np.searchsorted(scores[negative], scores[positive], "left")
    up_to = np.searchsorted(scores[negative], scores[positive], "right")
    found = np.full(counts.shape[1], np.nan)
    for start in range(0, counts.shape[1], CHUNK):
        chunk = counts[:, start : start + CHUNK]
        weights = chunk[patients[positive]]
        lower = np.zeros((len(negative) + 1, chunk.shape[1]), np.int64)  # negatives up to each
        np.cumsum(chunk[patients[negative]], axis=0, out=lower[1:])
        wins = (weights * (lower[below] + lower[up_to])).sum(axis=0)
        pairs = 2 * weights.sum(axis=0) * lower[-1]
        np.divide(wins, pairs, out=found[start : start + CHUNK], where=pairs > 0)
    return found


def _parquet(data: Dataset, rows: Rows, labels: Labels, probabilities: Floats) -> bytes:
    index, names = data.index, data.manifest.pathologies
    columns = {name: getattr(index, name)[rows] for name in ("key", "split", "patient")}
    columns |= {f"label:{name}": labels[:, i] for i, name in enumerate(names)}
    columns |= {f"probability:{name}": probabilities[:, i] for i, name in enumerate(names)}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()
