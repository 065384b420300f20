"""What one run found → RunReport."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from trainer.arms import Arm, controls_of
from trainer.evaluate.scores import Evaluation, Score
from trainer.fit.history import Epoch, best_epoch
from trainer.recipe import RunConfig
from trainer.report.run_report import (
    ManifestRef,
    PathologyReport,
    RunReport,
    Shown,
    SplitScore,
    shown_as,
)
from trainer.stream.batches import Dataset
from trainer.stream.order import coverage, cut

FEW = 50  # positive test images below which an AUC says little
SOFTWARE = ("cxr-rebalance", "torch", "torchvision", "torchxrayvision", "scikit-learn", "numpy")
PARTS = (("train", "real"), ("train", "synthetic"), ("val", "real"), ("test", "real"))


def gather(
    data: Dataset,
    arm: Arm,
    config: RunConfig,
    history: Sequence[Epoch],
    evaluation: Evaluation,
    *,
    command: str,
) -> RunReport:
    """The report of a run; the plan's targets come first. `command` repeats the run."""
    manifest, index = data.manifest, data.index
    best, shown = best_epoch(history, arm.choose_from), _shown(data, arm, len(history))
    rows = [_pathology(data, shown, evaluation, i) for i in range(len(manifest.pathologies))]
    controls = controls_of(manifest, index)
    lengths = [len(arm.order.epoch(row.epoch)) for row in history]
    report = RunReport(
        manifest=ManifestRef(name=manifest.name, digest=manifest.digest),
        build=manifest.recipe,
        plan=manifest.plan,
        image=manifest.image,
        generator=manifest.generator,
        source=manifest.source,
        controls=controls.drawn,
        real=controls.real,
        images={
            f"{split} {origin}": int(((index.split == split) & (index.origin == origin)).sum())
            for split, origin in PARTS
        },
        arm=config.recipe.arm,
        steps=sum(len(cut(images, config.recipe.batch)) for images in lengths),
        shown=Shown(
            real=float(shown[index.origin == "real"].sum()),
            synthetic=float(shown[index.origin == "synthetic"].sum()),
        ),
        unread=len(evaluation.unread),
        epochs=len(history),
        best_epoch=best.epoch,
        best_val_auc_mean=best.val_auc_mean,
        best_val_loss=best.val_loss,
        pathologies=tuple(sorted(rows, key=lambda row: not row.target)),
        software=software(),
        notes=(),
        command=command,
        config=config,
    )
    return replace(report, notes=tuple(_notes(report)))


def software() -> dict[str, str]:
    """The versions of Python and of the packages that the figures depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in SOFTWARE}


def _shown(data: Dataset, arm: Arm, epochs: int) -> npt.NDArray[np.float64]:
    """[N]: how often an epoch shows each row, in the mean."""
    total = sum(
        coverage(arm.order.epoch(number), len(data.index)).astype(float)
        for number in range(1, epochs + 1)
    )
    return np.asarray(total) / epochs


def _pathology(
    data: Dataset, shown: npt.NDArray[np.float64], evaluation: Evaluation, i: int
) -> PathologyReport:
    name, index = data.manifest.pathologies[i], data.index
    positive = index.labels[:, i] == 1
    train = positive & (shown > 0)
    return PathologyReport(
        pathology=name,
        target=name in data.manifest.targets,
        train_real=int((train & (index.origin == "real")).sum()),
        train_synthetic=int((train & (index.origin == "synthetic")).sum()),
        shown=float(shown[positive].sum()),
        val=_score(evaluation.val[i]),
        test=_score(evaluation.test[i]) if evaluation.test else None,
    )


def _score(score: Score) -> SplitScore:
    facts = asdict(score)
    del facts["pathology"]
    return SplitScore(**facts)


def _notes(report: RunReport) -> list[str]:
    notes = []
    demo = report.label_table == "demo"
    if report.generator_name == "phantom" and (demo or report.shown.synthetic):
        which = "All" if demo else "The synthetic"
        notes.append(f"{which} images are procedural phantoms, not radiographs.")
    if mapped := shown_as(report.generator):
        notes.append(f"The generator shows {mapped}, a label that it knows (--label-map).")
    if report.best_val_auc_mean is None:
        notes.append(
            "No pathology has both classes in val: the epoch with the lowest validation loss was"
            " chosen."
        )
    if not report.images["test real"]:
        notes.append("The dataset has no test images: there is no test AUC.")
    if report.unread:
        notes.append(
            f"{report.unread:,} val and test images could not be read: unread.csv lists them."
        )
    for row in report.pathologies:
        notes += _missing(row)
    few = [
        f"{row.pathology} ({row.test.positives})"
        for row in report.pathologies
        if row.test and 0 < row.test.positives < FEW
    ]
    if few:
        notes.append(f"Fewer than {FEW} positive test images, read with care: {', '.join(few)}.")
    return notes


def _missing(row: PathologyReport) -> list[str]:
    why: dict[str, list[str]] = {}
    for split, score in (("val", row.val), ("test", row.test)):
        if score and score.missing:
            why.setdefault(score.missing, []).append(split)
    return [f"{row.pathology} in {' and '.join(at)}: {reason}." for reason, at in why.items()]
