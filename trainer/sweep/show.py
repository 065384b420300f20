"""A sweep as tables and a picture."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from builder.contract import write_last
from builder.contract.lock import hold
from builder.contract.record import to_json
from trainer.report import COLOURS, GREY
from trainer.report.markup import plain
from trainer.sweep.grid import VARIED
from trainer.sweep.trial import SweepResult, Trial, best_of

SHADES = LinearSegmentedColormap.from_list("shades", ("#edf4f5", COLOURS[1]))
COLUMNS = ("val_auc", "best_epoch", "seconds", "failed")


def save(trials: Sequence[Trial], out: Path, pause: Callable[[float], object]) -> None:
    """Write sweep.json, sweep.csv, sweep.md and sweep.png into `out`.

    `pause(seconds)` waits for other processes, and may raise to end the wait.
    """
    best = best_of(trials)
    result = SweepResult(best=best.folder if best else None, points=tuple(trials))
    with hold(out, wait=pause):  # the processes of a sweep end at the same time
        write_last(out / "sweep.json", to_json(result).encode())
        write_last(out / "sweep.csv", _csv(trials))
        write_last(out / "sweep.md", markdown(trials).encode())
        write_last(out / "sweep.png", picture(trials))


def _csv(trials: Sequence[Trial]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*VARIED, *COLUMNS])
    for trial in trials:
        writer.writerow([*astuple(trial.params), *(getattr(trial, name) for name in COLUMNS)])
    return text.getvalue().encode()


def markdown(trials: Sequence[Trial]) -> str:
    """A table with a row for every point; the best one is bold."""
    names = [*VARIED, "validation AUC", "best epoch", "minutes", "folder"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for trial in trials:
        cells = [str(value) for value in astuple(trial.params)]
        if trial.val_auc is None:
            cells += [plain(f"failed: {trial.failed}"), "", ""]
        else:
            minutes = "" if trial.seconds is None else f"{trial.seconds / 60:.1f}"
            cells += [f"{trial.val_auc:.4f}", str(trial.best_epoch or ""), minutes]
        if trial == best_of(trials):
            cells = [cell and f"**{cell}**" for cell in cells]
        lines.append(f"| {' | '.join([*cells, f'`{trial.folder}`'])} |")
    return "\n".join(lines) + "\n"


def picture(trials: Sequence[Trial]) -> bytes:
    """A PNG: validation AUC by learning rate and batch, a panel per optimizer, the best framed."""
    lrs = list(dict.fromkeys(trial.params.lr for trial in trials))
    sizes = list(dict.fromkeys(trial.params.batch for trial in trials))
    optimizers = list(dict.fromkeys(trial.params.optimizer for trial in trials))
    figure = Figure(figsize=(1.4 + 4.2 * len(optimizers), 4.4), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(optimizers), squeeze=False)[0]
    for axes, optimizer in zip(panels, optimizers, strict=True):
        axes.set_title(optimizer, loc="left", fontsize=11)
        axes.set(xlim=(0, len(sizes)), ylim=(len(lrs), 0), xlabel="batch", ylabel="learning rate")
        axes.set_xticks([i + 0.5 for i in range(len(sizes))], [str(size) for size in sizes])
        axes.set_yticks([i + 0.5 for i in range(len(lrs))], [str(lr) for lr in lrs])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    aucs = [trial.val_auc for trial in trials if trial.val_auc is not None] or [0.5]
    low, high, best = min(aucs), max(aucs), best_of(trials)
    for trial in trials:
        place = sizes.index(trial.params.batch), lrs.index(trial.params.lr)
        shade = None if trial.val_auc is None else (trial.val_auc - low) / (high - low or 1)
        axes = panels[optimizers.index(trial.params.optimizer)]
        _cell(axes, place, trial.val_auc, shade=shade, framed=trial is best)
    colours = ScalarMappable(Normalize(low, high), SHADES)
    bar = figure.colorbar(colours, ax=list(panels), label="validation AUC of the best epoch")
    bar.outline.set_visible(False)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _cell(
    axes: Axes, place: tuple[int, int], auc: float | None, *, shade: float | None, framed: bool
) -> None:
    """Draw a point; its shade is in [0, 1], None where it failed."""
    x, y = place
    cell = Rectangle(place, 1, 1, edgecolor=GREY, lw=0.8, facecolor="white", hatch="///")
    if shade is not None:
        cell = Rectangle(place, 1, 1, edgecolor=GREY, lw=0.8, facecolor=SHADES(shade))
    axes.add_patch(cell)
    if framed:
        inner = (x + 0.02, y + 0.02)
        axes.add_patch(Rectangle(inner, 0.96, 0.96, fill=False, edgecolor=COLOURS[0], lw=3))
    axes.text(
        x + 0.5,
        y + 0.5,
        "failed" if auc is None else f"{auc:.3f}",
        ha="center",
        va="center",
        color="white" if shade is not None and shade > 0.6 else "black",
        weight="bold" if framed else "normal",
        bbox={"facecolor": "white", "edgecolor": "none"} if auc is None else None,
    )
