"""What one run found: report.json, report.md, curves.png, a short table.

Markdown and table say only what the JSON says, so they can be made again from it.
"""

import io
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

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
from trainer.recipe import Recipe
from trainer.report.style import COLOURS, GREY
from trainer.stream.batches import Dataset
from trainer.stream.order import coverage, cut

FEW = 50  # test positives below which an AUC says little
SOFTWARE = ("cxr-rebalance", "torch", "torchvision", "torchxrayvision", "scikit-learn", "numpy")
PARTS = (("train", "real"), ("train", "synthetic"), ("val", "real"), ("test", "real"))
OF_MANIFEST = ("plan", "image", "generator", "source")

Facts = dict[str, Any]


def gather(
    data: Dataset, arm: Arm, recipe: Recipe, history: Sequence[Epoch], evaluation: Evaluation
) -> Facts:
    """What was found, as plain JSON types; the plan's targets stand first."""
    manifest, index = data.manifest, data.index
    sealed = json.loads(manifest.to_json())
    best, shown = best_epoch(history, arm.choose_from), _shown(data, arm, len(history))
    rows = [_pathology(data, shown, evaluation, i) for i in range(len(manifest.pathologies))]
    facts: Facts = {
        "manifest": {"name": manifest.name, "digest": manifest.digest},
        "build": sealed["recipe"],
        **{name: sealed[name] for name in OF_MANIFEST},
        "controls": control_digest(manifest, index),
        "images": {
            f"{split} {origin}": int(((index.split == split) & (index.origin == origin)).sum())
            for split, origin in PARTS
        },
        "arm": recipe.arm,
        "steps": sum(len(cut(len(arm.order.epoch(row.epoch)), recipe.batch)) for row in history),
        "shown": {
            origin: float(shown[index.origin == origin].sum()) for origin in ("real", "synthetic")
        },
        "unread": len(evaluation.unread),
        "epochs": len(history),
        "best_epoch": best.epoch,
        "best_val_auc_mean": best.val_auc_mean,
        "best_val_loss": best.val_loss,
        "pathologies": sorted(rows, key=lambda row: not row["target"]),
        "software": {"python": platform.python_version()} | {n: version(n) for n in SOFTWARE},
    }
    return facts | {"notes": _notes(facts)}


def _shown(data: Dataset, arm: Arm, epochs: int) -> npt.NDArray[np.float64]:
    """[N]: how often an epoch shows each row, in the mean."""
    total = sum(
        coverage(arm.order.epoch(number), len(data.index)).astype(float)
        for number in range(1, epochs + 1)
    )
    return np.asarray(total) / epochs


def _pathology(
    data: Dataset, shown: npt.NDArray[np.float64], evaluation: Evaluation, i: int
) -> Facts:
    name, index = data.manifest.pathologies[i], data.index
    positive = index.labels[:, i] == 1
    train = positive & (shown > 0)
    return {
        "pathology": name,
        "target": name in data.manifest.targets,
        "train_real": int((train & (index.origin == "real")).sum()),
        "train_synthetic": int((train & (index.origin == "synthetic")).sum()),
        "shown": float(shown[positive].sum()),
        "val": _score(evaluation.val[i]),
        "test": _score(evaluation.test[i]) if evaluation.test else None,
    }


def _score(score: Score) -> Facts:
    facts = asdict(score)
    del facts["pathology"]
    return facts


def _notes(facts: Facts) -> list[str]:
    notes = []
    demo = facts["source"].get("dataset") == "demo"
    shown = demo or facts["shown"]["synthetic"]
    if facts["generator"].get("name") == "phantom" and shown:
        which = "All" if demo else "The synthetic"
        notes.append(f"{which} images are procedural phantoms, not radiographs.")
    if facts["best_val_auc_mean"] is None:
        notes.append("No pathology has both classes in val: the lowest loss there chose the epoch.")
    if not facts["images"]["test real"]:
        notes.append("The dataset has no test images: there is no test AUC.")
    if facts["unread"]:
        notes.append(f"{facts['unread']:,} val and test images could not be read: unread.csv.")
    for row in facts["pathologies"]:
        notes += _missing(row)
    few = [
        f"{row['pathology']} ({row['test']['positives']})"
        for row in facts["pathologies"]
        if row["test"] and 0 < row["test"]["positives"] < FEW
    ]
    if few:
        notes.append(f"Fewer than {FEW} test positives, read with care: {', '.join(few)}.")
    return notes


def _missing(row: Facts) -> list[str]:
    why: dict[str, list[str]] = {}
    for split in ("val", "test"):
        if row[split] and row[split]["missing"]:
            why.setdefault(row[split]["missing"], []).append(split)
    return [f"{row['pathology']} in {' and '.join(at)}: {reason}." for reason, at in why.items()]


def _cells(row: Facts) -> tuple[str, ...]:
    test, auc, interval = row["test"], "–", "–"
    if test and test["auc"] is not None:
        auc = f"{test['auc']:.3f}"
    if test and test["low"] is not None:
        interval = f"{test['low']:.3f} to {test['high']:.3f}"
    positives = str(test["positives"]) if test else "–"
    return (
        row["pathology"],
        str(row["train_real"]),
        str(row["train_synthetic"]),
        f"{row['shown']:.0f}",
        positives,
        auc,
        interval,
        *(
            _figure(test, name)
            for name in ("average_precision", "calibration_error", "sensitivity")
        ),
    )


def _figure(test: Facts | None, name: str) -> str:
    return "–" if test is None or test[name] is None else f"{test[name]:.3f}"


COLUMNS = (
    "pathology",
    "real +",
    "synthetic +",
    "shown +",
    "test +",
    "test AUC",
    "95 % interval",
    "AP",
    "ECE",
    "sensitivity",
)
SHORT = 7  # of them on the terminal


def markdown(facts: Facts) -> str:
    """The report for people; `facts` are report.json's."""
    best, images = facts["best_epoch"], facts["images"]
    mean = facts["best_val_auc_mean"]
    chosen = (
        f"lowest validation loss, {facts['best_val_loss']:.4f}"
        if mean is None
        else f"highest mean validation AUC, {mean:.3f}"
    )
    lines = [
        f"# {facts['manifest']['name']}, arm {facts['arm']}: test AUC per pathology",
        "",
        *(f"> {note}  " for note in facts["notes"]),
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|" + "---:|" * (len(COLUMNS) - 1),
        *(_line(row) for row in facts["pathologies"]),
        "",
        "Real + and synthetic + count the different positive images that the arm trains on, shown +"
        " the positives in an epoch (mean), test + those in test; targets of the plan are bold."
        " Unknown labels are left out. The interval is a bootstrap over patients"
        f" ({RESAMPLES:,} resamples). AP is the average precision, ECE the expected calibration"
        f" error, and the sensitivity is at a specificity of {SPECIFICITY:.0%}.",
        "",
        f"Arm {facts['arm']}: {facts['steps']:,} steps; an epoch shows"
        f" {facts['shown']['real']:,.0f} real and {facts['shown']['synthetic']:,.0f} synthetic"
        " images (mean).",
        "",
        f"Weights: epoch {best} of {facts['epochs']} ({chosen}). Images: "
        + ", ".join(f"{count:,} {part}" for part, count in images.items())
        + ".",
        "",
        "![Losses and validation AUC per epoch](curves.png)",
        "",
        "## To repeat it",
        "",
        "```",
        facts["command"],
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| generator | `{facts['generator'].get('name')}` |",
        *(f"| {name} | `{value}` |" for name, value in facts["config"].items()),
        *(f"| {name} | {number} |" for name, number in facts["software"].items()),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Facts) -> str:
    name, *rest = _cells(row)
    return f"| {' | '.join([f'**{name}**' if row['target'] else name, *rest])} |"


def table(facts: Facts) -> Table:
    """The targets' rows for the terminal; every pathology's where the plan has no target."""
    shown = Table(
        title=f"{facts['manifest']['name']}, {facts['arm']}: epoch {facts['best_epoch']} on test"
    )
    for number, name in enumerate(COLUMNS[:SHORT]):
        shown.add_column(name, justify="right" if number else "left")
    rows = facts["pathologies"]
    for row in [row for row in rows if row["target"]] or rows:
        shown.add_row(*_cells(row)[:SHORT])
    return shown


def curves(facts: Facts, history: Sequence[Epoch], names: Sequence[str]) -> bytes:
    """A PNG: losses left, validation AUCs right; the targets in colour, the others in grey."""
    figure = Figure(figsize=(11, 4.4), dpi=150, layout="constrained")
    losses, aucs = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    losses.plot(epochs, [row.train_loss for row in history], "o-", color=COLOURS[1], label="train")
    losses.plot(epochs, [row.val_loss for row in history], "o-", color=COLOURS[0], label="val")
    _dress(losses, "Loss per known label", facts["best_epoch"])
    aucs.axhline(0.5, color=GREY, lw=0.8, ls=":")
    targets = {row["pathology"] for row in facts["pathologies"] if row["target"]}
    drawn = [i for i in range(len(names)) if history[0].val_auc[i] is not None]
    colours, label = iter(COLOURS * len(names)), "other pathologies"
    for i in sorted(drawn, key=lambda i: names[i] not in targets):
        values = [row.val_auc[i] for row in history]
        if names[i] in targets:
            aucs.plot(epochs, values, "o-", color=next(colours), label=names[i])
        else:
            aucs.plot(epochs, values, "-", color=GREY, alpha=0.6, lw=1, zorder=1, label=label)
            label = "_"  # the legend names them once
    if facts["best_val_auc_mean"] is not None:
        means = [row.val_auc_mean for row in history]
        aucs.plot(epochs, means, "s--", color="black", label="mean of all")
    _dress(aucs, "Validation AUC", facts["best_epoch"])
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _dress(axes: Axes, title: str, best: int) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("epoch")
    axes.axvline(best, color=GREY, lw=0.8, label=f"best epoch ({best})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eceff1")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9)
