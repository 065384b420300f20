"""AUC per pathology with a 95 % interval, on images that no epoch was trained or chosen on.

All figures come from the probabilities as `predictions.parquet` holds them.
"""

import io
import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from torch import nn

from builder.contract import GROUPS, Labels
from trainer.evaluate.bootstrap import RESAMPLES, ArmAucs, arm_aucs, resample
from trainer.evaluate.inference import estimate
from trainer.evaluate.metrics import SPECIFICITY, average_precision, reliability, sensitivity_at
from trainer.fit.control import Place
from trainer.fit.score import auc, outputs, probabilities_of
from trainer.stream.batches import Dataset
from trainer.stream.order import Rows

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The figures of one pathology on a split; `missing` says why one is not there."""

    pathology: str
    positives: int
    negatives: int
    unknown: int
    auc: float | None = None
    low: float | None = None  # 95 % interval of the AUC
    high: float | None = None
    average_precision: float | None = None  # on test, as the rest
    calibration_error: float | None = None  # expected, in [0, 1]
    sensitivity: float | None = None  # at SPECIFICITY
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Scores per pathology in the manifest's order; `test` is empty where there are no images."""

    val: tuple[Score, ...]
    test: tuple[Score, ...]
    predictions: bytes  # a parquet file, val then test in sealed order
    unread: dict[int, str]  # reason by row of images that were not read; their labels are unknown


def evaluate(
    data: Dataset, model: nn.Module, place: Place, *, seed: int, min_positives: int
) -> Evaluation:
    """Scores and predictions of the model on val and test; figures other than AUC on test alone.

    They are computed in float32, as `xtrain predict` does: its file has the same probabilities.
    A pathology with fewer than `min_positives` gets no figure.
    """
    val, test = data.rows("val"), data.rows("test")
    rows = np.concatenate([val, test])
    found = outputs(data, model, rows, place, what="val and test")
    probabilities = probabilities_of(found.logits).numpy()
    at = len(val)
    return Evaluation(
        val=_scores(data, found.labels[:at], probabilities[:at], min_positives),
        test=_on_test(data, test, found.labels[at:], probabilities[at:], seed, min_positives)
        if len(test)
        else (),
        predictions=_parquet(data, rows, found.labels, probabilities),
        unread=found.unread,
    )


def evaluate_test(
    data: Dataset, model: nn.Module, place: Place, *, seed: int, min_positives: int
) -> Evaluation:
    """The same on test alone; `data` has labels of the model's outputs in their order."""
    rows = data.rows("test")
    found = outputs(data, model, rows, place, what=f"test of {data.manifest.name}")
    probabilities = probabilities_of(found.logits).numpy()
    return Evaluation(
        val=(),
        test=_on_test(data, rows, found.labels, probabilities, seed, min_positives),
        predictions=_parquet(data, rows, found.labels, probabilities),
        unread=found.unread,
    )


def numbered(patients: npt.NDArray[np.object_], keys: npt.NDArray[np.object_]) -> Rows:
    """[N]: the patient of each row as a number from 0; without one it is its own."""
    names = np.where(patients == "", keys, patients).astype(str)
    return np.asarray(np.unique(names, return_inverse=True)[1])


def _scores(
    data: Dataset, labels: Labels, probabilities: Probabilities, min_positives: int
) -> tuple[Score, ...]:
    """Counts and AUCs."""
    return tuple(
        _score(name, labels[:, i], probabilities[:, i], min_positives)
        for i, name in enumerate(data.manifest.pathologies)
    )


def _score(name: str, labels: Labels, probabilities: Probabilities, min_positives: int) -> Score:
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    value, missing = auc(labels, probabilities), ""
    if value is None:
        missing = f"no AUC, because no image is {'negative' if positives else 'positive'}"
    elif positives < min_positives:
        value = None
        missing = f"no figure, because {positives} positives are fewer than {min_positives}"
    return Score(
        pathology=name,
        positives=positives,
        negatives=negatives,
        unknown=int((labels < 0).sum()),
        auc=value,
        missing=missing,
    )


def _on_test(
    data: Dataset,
    rows: Rows,
    labels: Labels,
    probabilities: Probabilities,
    seed: int,
    min_positives: int,
) -> tuple[Score, ...]:
    """The scores with all their figures."""
    index = data.index
    patients = numbered(index.patient[rows], index.key[rows])
    counts = resample(int(patients.max()) + 1, RESAMPLES, seed=seed)
    aucs = arm_aucs(labels, probabilities[None], patients, counts)
    return tuple(
        score if score.missing else _measured(score, labels[:, i], probabilities[:, i], aucs, i)
        for i, score in enumerate(_scores(data, labels, probabilities, min_positives))
    )


def _measured(
    score: Score, labels: Labels, probabilities: Probabilities, aucs: ArmAucs, i: int
) -> Score:
    found, low, high, missing = estimate(aucs, i), None, None, ""
    if math.isfinite(found.low):
        low, high = found.low, found.high
    elif aucs.patients[i] < 2:
        missing = "no interval, because all positive or all negative images belong to one patient"
    else:
        missing = f"no interval, because an AUC of {found.value:.3f} is the same in all resamples"
    return replace(
        score,
        low=low,
        high=high,
        average_precision=average_precision(labels, probabilities),
        calibration_error=reliability(labels, probabilities).error,
        sensitivity=sensitivity_at(labels, probabilities, SPECIFICITY),
        missing=missing,
    )


def _parquet(data: Dataset, rows: Rows, labels: Labels, probabilities: Probabilities) -> bytes:
    index, names = data.index, data.manifest.pathologies
    columns = {name: getattr(index, name)[rows] for name in ("key", "split", "patient")}
    groups = {name: getattr(index, name)[rows] for name in GROUPS}
    columns |= {name: group for name, group in groups.items() if (group != "").any()}
    columns |= {f"label:{name}": labels[:, i] for i, name in enumerate(names)}
    columns |= {f"probability:{name}": probabilities[:, i] for i, name in enumerate(names)}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()
