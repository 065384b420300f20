"""DatasetResult → figures, as SVG inside a page.

Each is as wide as a phone; a page puts several in a row where there is room. There is one for each
target, or for each pathology where the plan has no target, unless it has too few positives. The
same report gives the same bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from textwrap import fill

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from trainer.evaluate.inference import NO_VERDICT
from trainer.report.across import HasInterval
from trainer.report.chart import WIDTH, Chart, make_chart
from trainer.report.results import (
    ArmResult,
    AucEstimate,
    Comparison,
    DatasetResult,
    PathologyFigures,
)
from trainer.report.style import GREY, INK, VERDICTS, Style, styles

MAX_TOGETHER = 3  # arms whose losses are readable in one figure
MAX_LETTERS = 24  # in a line of an arm's name


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCurve:
    """An arm in a figure of one pathology."""

    title: str
    style: Style
    figures: PathologyFigures
    auc: AucEstimate


def losses(dataset: DatasetResult) -> list[Chart]:
    """Figure 4: train and validation loss per epoch, the mean of the seeds and their range.

    Up to three arms share one figure; more have one each.
    """
    arms = dataset.arms
    groups = [[*arms]] if len(arms) <= MAX_TOGETHER else [[arm] for arm in arms]
    charts = []
    for shown in groups:
        ends = [
            f"{arm.title} {arm.last.train_loss:.3f} in training,"
            f" {arm.last.val_loss:.3f} in validation, a gap of {arm.last.gap:+.3f}"
            for arm in shown
        ]
        title = " · ".join(arm.title for arm in shown)
        alt = f"Loss per epoch; in the last epoch {'; '.join(ends)}."
        draw = partial(_losses, dataset=dataset, shown=shown)
        charts.append(
            make_chart(dataset.digest, "losses", title, alt, 3.1 + 0.4 * len(shown), draw)
        )
    return charts


def _losses(axes: Axes, *, dataset: DatasetResult, shown: Sequence[ArmResult]) -> None:
    label = "validation of the other arms"
    for arm in sorted(dataset.arms, key=lambda arm: arm not in shown):
        curves = _curves(arm)
        epochs = np.arange(1, curves.shape[1] + 1)
        if arm not in shown:
            val = curves[:, :, 1].mean(axis=0)
            axes.plot(epochs, val, color=GREY, lw=0.9, label=label, zorder=1)
            label = "_"  # the legend names them once
            continue
        style, name = styles(dataset)[arm.title], f"{arm.title}, " if len(shown) > 1 else ""
        gap = f" (final gap {arm.last.gap:+.3f})"
        for part, word, dashes in ((0, "train", "--"), (1, f"validation{gap}", "-")):
            low, mean, high = (f(curves[:, :, part], axis=0) for f in (np.min, np.mean, np.max))
            axes.fill_between(epochs, low, high, color=style.colour, alpha=0.15, lw=0)
            axes.plot(
                epochs,
                mean,
                color=style.colour,
                linestyle=dashes,
                marker=style.marker,
                markerfacecolor=style.face if part else "white",
                markevery=max(1, len(epochs) // 10),
                label=name + word,
            )
    axes.set_ylim(_limits(np.concatenate([_curves(arm).ravel() for arm in dataset.arms])))
    axes.set(xlabel="epoch", ylabel="loss per known label")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), borderaxespad=0)


def _curves(arm: ArmResult) -> npt.NDArray[np.float64]:
    """[seeds, epochs, 2]: train and validation loss."""
    return np.array([run.losses for run in arm.runs], float)


def rocs(dataset: DatasetResult) -> list[Chart]:
    """The ROC curve of each target and arm, the mean of the seeds."""
    return _charts(dataset, "roc", "ROC curves; AUC", _roc, lambda _: WIDTH)


def _roc(axes: Axes, rows: Sequence[ArmCurve]) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8)
    for number, row in enumerate(rows):
        style, sensitivity = row.style, row.figures.roc
        axes.plot(
            [0, *np.linspace(0, 1, len(sensitivity))],
            [0, *sensitivity],
            color=style.colour,
            linestyle=style.dashes,
            marker=style.marker,
            markerfacecolor=style.face,
            markevery=(6 + 3 * number, 20),  # markers of two arms never coincide
            label=f"{fill(row.title, MAX_LETTERS)} {row.auc.value:.3f}",
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="1 − specificity", ylabel="sensitivity")
    axes.legend(loc="lower right", title="AUC", alignment="left", borderaxespad=0.2)


def aucs(dataset: DatasetResult) -> list[Chart]:
    """The AUC of each target: an arm per row with its interval, and a tick per seed."""
    ends = [
        end
        for name in _drawn(dataset)
        for row in _rows(dataset, name)
        for end in (row.auc.value, row.auc.low, row.auc.high)
    ]
    draw = partial(_aucs, limits=_limits([0.5, *ends]))
    return _charts(dataset, "auc", "AUC", draw, lambda rows: 0.75 + 0.36 * len(rows))


def _aucs(axes: Axes, rows: Sequence[ArmCurve], *, limits: tuple[float, float]) -> None:
    axes.axvline(0.5, color=GREY, lw=1)
    for y, row in enumerate(rows):
        seeds = row.figures.auc_of_seeds
        axes.plot(seeds, [y + 0.28] * len(seeds), "|", color=row.style.colour, ms=6, mew=1.2)
        _interval(axes, y, row.auc, row.style)
    _label(axes, [row.title for row in rows], limits, "AUC")


def forest(dataset: DatasetResult) -> list[Chart]:
    """The difference of AUC between each arm and its controls, with verdicts; one per target."""
    rows = [row for row in dataset.comparisons if row.target and row.value is not None]
    limits = _limits([0, *(end for row in rows for end in (row.value, row.low, row.high))])
    charts = []
    for target in dataset.targets:
        shown = [row for row in rows if row.pathology == target]
        said = [
            f"{row.arm} compared with {row.control} {row.value:+.3f}, {row.verdict}"
            for row in shown
        ]
        if shown:
            alt = f"Differences of AUC for {target}: {'; '.join(said)}."
            height = 0.75 + 0.27 * (len(shown) + len({row.arm for row in shown}))
            draw = partial(_forest, rows=shown, limits=limits)
            charts.append(make_chart(dataset.digest, "forest", target, alt, height, draw))
    return charts


def external(dataset: DatasetResult) -> list[Chart]:
    """The same on each other test set."""
    charts = []
    for test in dataset.external:
        digest = f"{dataset.digest} {test.digest}"  # no other chart has it
        there = replace(dataset, digest=digest, targets=test.targets, comparisons=test.comparisons)
        charts += [replace(c, title=f"{c.title}, {test.name}") for c in forest(there)]
    return charts


def _forest(axes: Axes, *, rows: Sequence[Comparison], limits: tuple[float, float]) -> None:
    axes.axvline(0, color=INK, lw=1)
    names: list[str] = []
    heads: list[int] = []
    for arm, group in groupby(rows, key=lambda row: row.arm):
        heads.append(len(names))
        names.append(arm)
        for row in group:
            verdict = row.verdict or NO_VERDICT
            colour, marker = VERDICTS[verdict]
            style = Style(colour=colour, marker=marker, dashes="-", face=colour)
            _interval(axes, len(names), row, style)
            axes.annotate(
                verdict,
                (1.03, len(names)),
                xycoords=axes.get_yaxis_transform(),
                color=colour,
                va="center",
            )
            names.append(f"vs {row.control}")
    _label(axes, names, limits, "← worse\u00a0\u00a0\u00a0AUC difference\u00a0\u00a0\u00a0better →")
    for number in heads:
        axes.get_yticklabels()[number].set(color=INK, weight="bold")


def calibration(dataset: DatasetResult) -> list[Chart]:
    """The reliability diagram of each target: a point per bin, its area by the number of images."""
    return _charts(dataset, "calibration", "Reliability; AUC", _reliability, lambda _: WIDTH)


def _reliability(axes: Axes, rows: Sequence[ArmCurve]) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8)
    for row in rows:
        style, bins = row.style, row.figures.reliability
        predicted, observed = [b.predicted for b in bins], [b.observed for b in bins]
        images = np.array([b.images for b in bins])
        axes.plot(
            predicted, observed, color=style.colour, linestyle=style.dashes, lw=0.8, alpha=0.6
        )
        area = 8 + 320 * images / images.sum()
        axes.scatter(
            predicted, observed, area, color=style.colour, marker=style.marker, alpha=0.75, lw=0
        )
        name = fill(row.title, MAX_LETTERS)
        axes.plot([], [], style.marker, color=style.colour, label=name)  # one size in the legend
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="predicted probability", ylabel="share that is positive")
    axes.legend(loc="upper left", borderaxespad=0.2)


def _drawn(dataset: DatasetResult) -> list[str]:
    """The pathologies for which any arm has figures."""
    return [name for name in dataset.targets or dataset.positives if _rows(dataset, name)]


def _rows(dataset: DatasetResult, pathology: str) -> list[ArmCurve]:
    """The arms that have figures of the pathology."""
    style = styles(dataset)
    return [
        ArmCurve(title=arm.title, style=style[arm.title], figures=found, auc=found.auc)
        for arm in dataset.arms
        if (found := arm.pathologies[pathology]).auc
    ]


def _charts(
    dataset: DatasetResult,
    kind: str,
    what: str,
    draw: Callable[..., None],
    height: Callable[[Sequence[ArmCurve]], float],
) -> list[Chart]:
    charts = []
    for name in _drawn(dataset):
        rows = _rows(dataset, name)
        said = ", ".join(f"{row.title} {row.auc.value:.3f}" for row in rows)
        alt = f"{name}: {what} {said}."
        charts.append(
            make_chart(dataset.digest, kind, name, alt, height(rows), partial(draw, rows=rows))
        )
    return charts


def _limits(values: Sequence[float | None] | npt.NDArray[np.float64]) -> tuple[float, float]:
    """The ends of an axis on which all values lie, with a margin."""
    found = np.array(values, float)
    low, high = float(np.nanmin(found)), float(np.nanmax(found))
    margin = max(0.06 * (high - low), 0.004)
    return low - margin, high + margin


def _interval(axes: Axes, y: float, found: HasInterval, style: Style) -> None:
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [y, y], color=style.colour, lw=2.2)
    axes.plot([found.value or 0.0], [y], style.marker, color=style.colour, mfc=style.face, ms=7)


def _label(axes: Axes, names: Sequence[str], limits: tuple[float, float], label: str) -> None:
    axes.set_yticks(range(len(names)), [fill(name, MAX_LETTERS) for name in names])
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=limits, xlabel=label)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
