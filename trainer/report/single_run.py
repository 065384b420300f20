"""RunReport → report.md, curves.png and a short table for the terminal."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table
from rich.text import Text

from builder.contract.record import read_record
from trainer.evaluate.bootstrap import RESAMPLES
from trainer.evaluate.external_scores import FOLDER, ExternalScores
from trainer.evaluate.metrics import SPECIFICITY
from trainer.fit.history import Epoch
from trainer.report.markup import code
from trainer.report.run_report import PathologyReport, RunReport
from trainer.report.sentences import DASH
from trainer.report.style import COLOURS, GREY
from trainer.report.tables.cells import interval, number

COLUMNS = (
    "pathology",
    "real positives",
    "synthetic positives",
    "positives shown",
    "test positives",
    "test AUC",
    "95 % CI",
    "average precision",
    "calibration error",
    "sensitivity",
)
ON_TERMINAL = ("pathology", "real +", "synthetic +", "shown +", "test +", "test AUC", "95 % CI")


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
        "Real and synthetic positives are the different positive images that the arm trains on;"
        " positives shown are those in an epoch (mean). Targets of the plan are bold. Unknown"
        " labels are left out. The 95 % CI (confidence interval) comes from"
        f" {RESAMPLES:,} bootstrap resamples of the patients. The calibration error is the expected"
        f" one; the sensitivity is at a specificity of {SPECIFICITY:.0%}.",
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
        f"| generator | {code(report.generator_name or DASH)} |",
        *(f"| {name} | {code(str(value))} |" for name, value in asdict(report.config).items()),
        *(f"| {name} | {version} |" for name, version in report.software.items()),
    ]


def _line(row: PathologyReport) -> str:
    name, *rest = _cells(row)
    return f"| {' | '.join([f'**{name}**' if row.target else name, *rest])} |"


def external_tables(run: Path) -> Iterator[Table]:
    """What the run in that folder scored on other datasets, a table for the terminal of each."""
    for path in sorted((run / FOLDER).glob("*.json")):
        found = read_record(path, ExternalScores)
        shown = Table(title=f"{found.test.name}: epoch {found.epoch} on its test images")
        for place, name in enumerate(("pathology", "test +", "test AUC", "95 % CI")):
            shown.add_column(name, justify="right" if place else "left")
        for row in found.scores:
            auc, ends = number(row.auc), interval(row.low, row.high)
            shown.add_row(Text(row.pathology), str(row.positives), auc, ends)
        if found.test.left_out:
            shown.caption = f"It does not label {', '.join(found.test.left_out)}."
        yield shown


def table(report: RunReport) -> Table:
    """The targets' rows for the terminal; all pathologies' where the plan has no target."""
    shown = Table(
        title=f"{report.manifest.name}, {report.arm}: epoch {report.best_epoch} on test images"
    )
    for place, name in enumerate(ON_TERMINAL):
        shown.add_column(name, justify="right" if place else "left")
    rows = report.pathologies
    for row in [row for row in rows if row.target] or rows:
        shown.add_row(*_cells(row)[: len(ON_TERMINAL)])
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


def _cells(row: PathologyReport) -> tuple[str, ...]:
    test = row.test
    trained = (str(row.train_real), str(row.train_synthetic), f"{row.shown:.0f}")
    if test is None:
        return (row.pathology, *trained, *(DASH for _ in COLUMNS[len(trained) + 1 :]))
    return (
        row.pathology,
        *trained,
        str(test.positives),
        number(test.auc),
        interval(test.low, test.high),
        *map(number, (test.average_precision, test.calibration_error, test.sensitivity)),
    )
