"""What one run found → RunReport, and from that report.md, curves.png and a short table."""

import io
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table

from trainer.arms import Arm, control_digest
from trainer.evaluate.bootstrap import RESAMPLES
from trainer.evaluate.metrics import SPECIFICITY
from trainer.evaluate.scores import Evaluation, Score
from trainer.fit.history import Epoch, best_epoch
from trainer.recipe import RunConfig
from trainer.report.run_report import ManifestRef, PathologyReport, RunReport, Shown, SplitScore
from trainer.report.sentences import DASH
from trainer.report.style import COLOURS, GREY
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
    lengths = [len(arm.order.epoch(row.epoch)) for row in history]
    report = RunReport(
        manifest=ManifestRef(name=manifest.name, digest=manifest.digest),
        build=manifest.recipe,
        plan=manifest.plan,
        image=manifest.image,
        generator=manifest.generator,
        source=manifest.source,
        controls=control_digest(manifest, index),
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


def _cells(row: PathologyReport) -> tuple[str, ...]:
    test = row.test
    trained = (str(row.train_real), str(row.train_synthetic), f"{row.shown:.0f}")
    if test is None:
        return (row.pathology, *trained, *(DASH for _ in COLUMNS[len(trained) + 1 :]))
    known = test.low is not None and test.high is not None
    return (
        row.pathology,
        *trained,
        str(test.positives),
        _number(test.auc),
        f"{_number(test.low)} to {_number(test.high)}" if known else DASH,
        *map(_number, (test.average_precision, test.calibration_error, test.sensitivity)),
    )


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


COLUMNS = (
    "pathology",
    "real +",
    "synthetic +",
    "shown +",
    "test +",
    "test AUC",
    "95 % CI",
    "AP",
    "ECE",
    "sensitivity",
)
SHORT = 7  # of them on the terminal


def markdown(report: RunReport) -> str:
    """The report for people: report.md."""
    lines = [
        f"# {report.manifest.name}, arm {report.arm}: test AUC per pathology",
        "",
        *(f"> {note}  " for note in report.notes),
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|" + "---:|" * (len(COLUMNS) - 1),
        *(_line(row) for row in report.pathologies),
        "",
        "Real + and synthetic + count the different positive images that the arm trains on; shown +"
        " is the mean number of positives in an epoch; test + counts the positives in test. Targets"
        " of the plan are bold. Unknown labels are left out. The 95 % CI (confidence interval)"
        f" comes from {RESAMPLES:,} bootstrap resamples of the patients. AP is the average"
        " precision, ECE the expected calibration error; the sensitivity is at a specificity of"
        f" {SPECIFICITY:.0%}.",
        "",
        f"Arm {report.arm}: {report.steps:,} steps; an epoch shows {report.shown.real:,.0f} real"
        f" and {report.shown.synthetic:,.0f} synthetic images (mean).",
        "",
        f"Weights: epoch {report.best_epoch} of {report.epochs} ({_chosen(report)}). Images: "
        + ", ".join(f"{count:,} {part}" for part, count in report.images.items())
        + ".",
        "",
        "![Losses and validation AUC per epoch](curves.png)",
        "",
        *_repeat(report),
    ]
    return "\n".join(lines) + "\n"


def _chosen(report: RunReport) -> str:
    if report.best_val_auc_mean is None:
        return f"lowest validation loss, {report.best_val_loss:.4f}"
    return f"highest mean validation AUC, {report.best_val_auc_mean:.3f}"


def _repeat(report: RunReport) -> list[str]:
    """Everything that is needed to repeat the run."""
    return [
        "## How to repeat it",
        "",
        "```",
        report.command,
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| generator | `{report.generator_name or DASH}` |",
        *(f"| {name} | `{value}` |" for name, value in report.config.to_json().items()),
        *(f"| {name} | {number} |" for name, number in report.software.items()),
    ]


def _line(row: PathologyReport) -> str:
    name, *rest = _cells(row)
    return f"| {' | '.join([f'**{name}**' if row.target else name, *rest])} |"


def table(report: RunReport) -> Table:
    """The targets' rows for the terminal; all pathologies' where the plan has no target."""
    shown = Table(
        title=f"{report.manifest.name}, {report.arm}: epoch {report.best_epoch} on test images"
    )
    for number, name in enumerate(COLUMNS[:SHORT]):
        shown.add_column(name, justify="right" if number else "left")
    rows = report.pathologies
    for row in [row for row in rows if row.target] or rows:
        shown.add_row(*_cells(row)[:SHORT])
    return shown


def curves(report: RunReport, history: Sequence[Epoch], names: Sequence[str]) -> bytes:
    """A PNG: losses left, validation AUCs right; the targets in colour, the others in grey."""
    figure = Figure(figsize=(11, 4.4), dpi=150, layout="constrained")
    losses, aucs = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    losses.plot(epochs, [row.train_loss for row in history], "o-", color=COLOURS[1], label="train")
    losses.plot(epochs, [row.val_loss for row in history], "o-", color=COLOURS[0], label="val")
    _label(losses, "Loss per known label", report.best_epoch)
    aucs.axhline(0.5, color=GREY, lw=0.8, ls=":")
    targets = {row.pathology for row in report.pathologies if row.target}
    drawn = [i for i in range(len(names)) if history[0].val_auc[i] is not None]
    colours, label = iter(COLOURS * len(names)), "other pathologies"
    for i in sorted(drawn, key=lambda i: names[i] not in targets):
        values = [row.val_auc[i] for row in history]
        if names[i] in targets:
            aucs.plot(epochs, values, "o-", color=next(colours), label=names[i])
        else:
            aucs.plot(epochs, values, "-", color=GREY, alpha=0.6, lw=1, zorder=1, label=label)
            label = "_"  # the legend names them once
    if report.best_val_auc_mean is not None:
        means = [row.val_auc_mean for row in history]
        aucs.plot(epochs, means, "s--", color="black", label="mean of all")
    _label(aucs, "Validation AUC", report.best_epoch)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _label(axes: Axes, title: str, best: int) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("epoch")
    axes.axvline(best, color=GREY, lw=0.8, label=f"best epoch ({best})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eceff1")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9)
