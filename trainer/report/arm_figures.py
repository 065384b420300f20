"""One arm of a study → ArmResult: its training, and its figures on the test images."""

import math
from collections.abc import Sequence

import numpy as np

from builder.contract import Labels
from trainer.evaluate.inference import Estimate, estimate
from trainer.evaluate.metrics import (
    BINS,
    SPECIFICITY,
    Reliability,
    average_precision,
    reliability,
    roc,
    sensitivity_at,
)
from trainer.report.load import RunResult, file_digests
from trainer.report.resampled import Resampled
from trainer.report.results import (
    ArmResult,
    AucEstimate,
    LastLosses,
    PathologyFigures,
    ReliabilityBin,
    SeedResult,
)
from trainer.report.studies import ArmRuns


def numbers(found: Estimate) -> AucEstimate:
    """The figures of an estimate, p apart: None where there is no figure."""
    return AucEstimate(
        value=found.value,
        low=finite(found.low),
        high=finite(found.high),
        error=finite(found.error),
        degrees=finite(found.degrees),
        seed_share=finite(found.seed_share),
    )


def finite(value: float) -> float | None:
    """The value; None where it is nan or infinite, for which JSON has no number."""
    return value if math.isfinite(value) else None


def missing(labels: Labels, min_positives: int) -> str | None:
    """Why the labels [N] of test images allow no figure; None where they allow one."""
    positives = int((labels == 1).sum())
    if not positives:
        return "no test image is positive"
    if positives < min_positives:
        found = f"are only {positives} positives" if positives > 1 else "is only 1 positive"
        return f"there {found} in test and {min_positives} are needed"
    return None if (labels == 0).any() else "no test image is negative"


def arm_result(arm: ArmRuns, resampled: Resampled, number: int, min_positives: int) -> ArmResult:
    """The result of an arm, which is `number` among those that were resampled."""
    first = arm.runs[0]
    last = [run.losses[-1] for run in arm.runs]
    train, val = (float(np.mean(losses)) for losses in zip(*last, strict=True))
    return ArmResult(
        name=arm.name,
        title=arm.title,
        lent_by=arm.lent_by,
        modifiers=arm.modifiers,
        recipe=first.recipe,
        steps=first.report.steps,
        shown=first.report.shown,
        epochs=len(first.losses),
        last=LastLosses(train_loss=train, val_loss=val, gap=val - train),
        runs=tuple(map(_seed_result, arm.runs)),
        pathologies={
            name: _figures(resampled, number, i, min_positives)
            for i, name in enumerate(resampled.names)
        },
    )


def _seed_result(run: RunResult) -> SeedResult:
    report = run.report
    return SeedResult(
        seed=run.seed,
        folder=str(run.folder),
        command=report.command,
        config=report.config,
        unread=report.unread,
        best_epoch=report.best_epoch,
        val_auc_mean=report.best_val_auc_mean,
        losses=run.losses,
        software=report.software,
        sha256=file_digests(run),
    )


def _figures(resampled: Resampled, arm: int, i: int, min_positives: int) -> PathologyFigures:
    labels, scores = resampled.labels[:, i], resampled.scores[arm][:, :, i]
    if why := missing(labels, min_positives):
        return PathologyFigures(missing=why)
    found = estimate(resampled.aucs[arm], i, pooled_with=resampled.aucs)
    diagrams = [reliability(labels, seed) for seed in scores]
    curves = [roc(labels, seed) for seed in scores]
    precision = [average_precision(labels, seed) for seed in scores]
    sensitivity = [sensitivity_at(labels, seed, SPECIFICITY) for seed in scores]
    return PathologyFigures(
        missing=None if math.isfinite(found.low) else _no_interval(resampled, arm, i, found),
        auc=numbers(found),
        auc_of_seeds=tuple(resampled.aucs[arm].auc[:, i].tolist()),
        average_precision=float(np.mean(precision)),
        calibration_error=float(np.mean([diagram.error for diagram in diagrams])),
        sensitivity=float(np.mean(sensitivity)),
        reliability=tuple(_pooled(diagrams)),
        roc=tuple(round(float(y), 4) for y in np.mean(curves, axis=0)),
    )


def _no_interval(resampled: Resampled, arm: int, i: int, found: Estimate) -> str:
    if resampled.aucs[arm].patients[i] < 2:
        return "no interval, because all positive or all negative images belong to one patient"
    return f"no interval, because an AUC of {found.value:.3f} is the same in all resamples"


def _pooled(diagrams: Sequence[Reliability]) -> list[ReliabilityBin]:
    """The bins that hold images, all seeds together."""
    images = np.array([diagram.images for diagram in diagrams])
    total = images.sum(axis=0)
    predicted, observed = (
        np.nansum(np.array(means) * images, axis=0)
        for means in ([d.predicted for d in diagrams], [d.observed for d in diagrams])
    )
    return [
        ReliabilityBin(
            images=int(total[b]),
            predicted=float(predicted[b] / total[b]),
            observed=float(observed[b] / total[b]),
        )
        for b in range(BINS)
        if total[b]
    ]
