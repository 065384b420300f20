"""A study into numbers: AUCs, differences of arms, and what may be said of each target.

Every figure on test is from the runs' predictions.parquet. Arms are compared on the same resamples
of the same patients. p-values are adjusted over the targets of a dataset, for each pair of arms
apart (Holm); nothing is adjusted over pairs, datasets or subgroups.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from builder.contract import Labels
from trainer.arms import TREATMENTS
from trainer.evaluate.bootstrap import RESAMPLES
from trainer.evaluate.inference import (
    LEVEL,
    NO_VERDICT,
    Estimate,
    difference,
    estimate,
    holm,
    verdict,
)
from trainer.evaluate.metrics import (
    BINS,
    SPECIFICITY,
    average_precision,
    reliability,
    roc,
    sensitivity_at,
)
from trainer.progress import Advance
from trainer.report.load import files_of
from trainer.report.resampled import SEED, Tested, groups
from trainer.report.single_run import FEW, Facts
from trainer.report.studies import ArmRuns, Study

ELSE = {"helped": "better", "hurt": "worse"}  # only a plain control says helped or hurt


def compare(study: Study, *, min_positives: int, advance: Advance) -> Facts:
    """What report.json says of a dataset, as plain JSON types; null where there is no figure.

    `advance` is told how many AUCs were resampled: tested.effort in all.
    """
    facts, tested = study.facts, Tested.of(study, advance)
    labels = tested.labels
    targets = [target["pathology"] for target in facts["plan"]["targets"]]
    return {
        "name": study.name,
        "digest": facts["manifest"]["digest"],
        "regime": facts["build"].get("regime"),
        "generator": facts["generator"],
        "source": facts["source"],
        "build": facts["build"],
        "image": facts["image"],
        "images": facts["images"],
        "plan": facts["plan"],
        "targets": targets,
        "test": {"images": len(labels), "patients": int(tested.patients.max()) + 1},
        "positives": {
            name: {
                "positives": int((labels[:, i] == 1).sum()),
                "negatives": int((labels[:, i] == 0).sum()),
                "unknown": int((labels[:, i] < 0).sum()),
            }
            for i, name in enumerate(tested.names)
        },
        "common": list(study.common),
        "arms": [_arm(study, tested, number, min_positives) for number in range(len(study.arms))],
        "comparisons": _comparisons(study.arms, tested, targets, min_positives),
        "subgroups": _subgroups(study, tested, targets, min_positives, advance),
    }


def pairs(arms: Sequence[ArmRuns]) -> list[tuple[int, int]]:
    """Which arm is compared with which control, as their numbers.

    Arms with synthetic images against every arm without; these against `none`, which says what
    balancing or flips do by themselves.
    """
    treats = [arm.name in TREATMENTS for arm in arms]
    found = [
        (i, j)
        for i, j in product(range(len(arms)), repeat=2)
        if i != j and not treats[j] and (treats[i] or arms[j].name == "none")
    ]
    return sorted(found, key=lambda pair: (not treats[pair[0]], pair))


def _arm(study: Study, tested: Tested, number: int, min_positives: int) -> Facts:
    arm, last = study.arms[number], [run.history[-1] for run in study.arms[number].runs]
    train, val = (
        float(np.mean([row[name] for row in last])) for name in ("train_loss", "val_loss")
    )
    return {
        "name": arm.name,
        "title": arm.title,
        "lent_by": arm.lent_by or None,
        "modifiers": list(arm.modifiers),
        "recipe": arm.runs[0].recipe,
        "steps": arm.runs[0].facts["steps"],
        "shown": arm.runs[0].facts["shown"],
        "epochs": len(arm.runs[0].history),
        "last": {"train_loss": train, "val_loss": val, "gap": val - train},
        "runs": [
            {
                "seed": run.seed,
                "folder": str(run.folder),
                "command": run.facts["command"],
                "config": run.facts["config"],
                "unread": run.facts["unread"],
                "best_epoch": run.facts["best_epoch"],
                "val_auc_mean": run.facts["best_val_auc_mean"],
                "losses": [[row["train_loss"], row["val_loss"]] for row in run.history],
                "software": run.facts["software"],
                "sha256": files_of(run),
            }
            for run in arm.runs
        ],
        "pathologies": {
            name: _figures(tested, number, i, min_positives) for i, name in enumerate(tested.names)
        },
    }


def _figures(tested: Tested, arm: int, i: int, min_positives: int) -> Facts:
    """AUC with its interval; the other figures are means over the seeds."""
    labels, scores = tested.labels[:, i], tested.scores[arm][:, :, i]
    if missing := _missing(labels, min_positives):
        return {"missing": missing}
    found = estimate(tested.aucs[arm], i, pooled_with=tested.aucs)
    diagrams = [reliability(labels, seed) for seed in scores]
    curves = [roc(labels, seed) for seed in scores]
    precision = [average_precision(labels, seed) for seed in scores]
    sensitivity = [sensitivity_at(labels, seed, SPECIFICITY) for seed in scores]
    return {
        "missing": None if math.isfinite(found.low) else _no_interval(tested, arm, i, found),
        "auc": _plain(found),
        "auc_of_seeds": tested.aucs[arm].auc[:, i].tolist(),
        "average_precision": float(np.mean(precision)),
        "calibration_error": float(np.mean([diagram.error for diagram in diagrams])),
        "sensitivity": float(np.mean(sensitivity)),
        "reliability": _pooled(diagrams),
        "roc": [round(float(y), 4) for y in np.mean(curves, axis=0)],
    }


def _no_interval(tested: Tested, arm: int, i: int, found: Estimate) -> str:
    if tested.aucs[arm].patients[i] < 2:
        return "no interval, for all positives or all negatives are one patient's"
    return f"no interval, for an AUC of {found.value:.3f} leaves nothing to resample"


def _pooled(diagrams: Sequence[Any]) -> list[Facts]:
    """The bins that hold images, all seeds together."""
    images = np.array([diagram.images for diagram in diagrams])
    total = images.sum(axis=0)
    sums = [
        np.nansum(np.array([getattr(d, name) for d in diagrams]) * images, axis=0)
        for name in ("predicted", "observed")
    ]
    return [
        {
            "images": int(total[b]),
            "predicted": float(sums[0][b] / total[b]),
            "observed": float(sums[1][b] / total[b]),
        }
        for b in range(BINS)
        if total[b]
    ]


def _missing(labels: Labels, min_positives: int) -> str | None:
    """Why there is no figure over these labels [N]."""
    positives = int((labels == 1).sum())
    if positives < min_positives:
        return f"{positives} positives are fewer than {min_positives}"
    return None if (labels == 0).any() else "no image is negative"


def _plain(found: Estimate) -> Facts:
    names = ("value", "low", "high", "error", "degrees", "seed_share")
    values = {name: getattr(found, name) for name in names}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _comparisons(
    arms: Sequence[ArmRuns], tested: Tested, targets: Sequence[str], min_positives: int
) -> list[Facts]:
    found = []
    places = [tested.names.index(target) for target in targets]
    rest = [i for i in range(len(tested.names)) if i not in places]
    for i, j in pairs(arms):
        arm, control = tested.aucs[i], tested.aucs[j]
        gaps = {
            at: difference(arm, control, at, pooled_with=tested.aucs)
            for at in (*places, *rest)
            if not _missing(tested.labels[:, at], min_positives)
        }
        p = np.array([gaps[at].p if at in gaps else np.nan for at in places])
        adjusted = dict(zip(places, holm(p), strict=True))
        for at in (*places, *rest):
            row: Facts = {
                "arm": arms[i].title,
                "control": arms[j].title,
                "pathology": tested.names[at],
                "target": at in adjusted,
                "missing": _missing(tested.labels[:, at], min_positives),
            }
            if at in gaps:
                row |= _plain(gaps[at]) | {"p": _number(gaps[at].p)}
            if at in adjusted:
                row["holm"] = _number(float(adjusted[at]))
                seeds = min(len(arm.auc), len(control.auc))
                said = verdict(gaps[at], adjusted[at], seeds=seeds) if at in gaps else NO_VERDICT
                row["verdict"] = said if arms[j].is_plain_for(arms[i]) else ELSE.get(said, said)
            found.append(row)
    return found


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _subgroups(
    study: Study,
    tested: Tested,
    targets: Sequence[str],
    min_positives: int,
    advance: Advance,
) -> list[Facts]:
    """The targets' AUCs and differences in each group of the test images; p-values of none."""
    known, titles = study.arms[0].runs[0].test.groups, [arm.title for arm in study.arms]
    found = []
    for name, word in groups(study):
        rows = np.flatnonzero(known[name] == word)
        part = tested.part(rows, targets, advance)
        for i, target in enumerate(targets):
            row: Facts = {
                "group": name,
                "value": word,
                "pathology": target,
                "images": len(rows),
                "positives": int((part.labels[:, i] == 1).sum()),
                "missing": _missing(part.labels[:, i], min_positives),
            }
            if not row["missing"]:
                row["auc"] = {
                    title: _plain(estimate(auc, i, pooled_with=part.aucs))
                    for title, auc in zip(titles, part.aucs, strict=True)
                }
                row["differences"] = [
                    {"arm": titles[a], "control": titles[b]}
                    | _plain(difference(part.aucs[a], part.aucs[b], i, pooled_with=part.aucs))
                    for a, b in pairs(study.arms)
                    if study.arms[a].name in TREATMENTS
                ]
            found.append(row)
    return found


def settings(min_positives: int) -> Facts:
    """How the numbers were made."""
    return {
        "level": LEVEL,
        "resamples": RESAMPLES,
        "seed": SEED,
        "min_positives": min_positives,
        "few": FEW,
        "specificity": SPECIFICITY,
        "bins": BINS,
    }
