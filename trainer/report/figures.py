"""A dataset of report.json into figures, as SVG that stands in a page.

Each is as wide as a phone: a page lays several side by side where there is room. They are of the
targets, or of every pathology where the plan has no target; one with too few positives has none.
The same report gives the same bytes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from textwrap import fill

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from trainer.report.chart import WIDTH, Chart, make_chart
from trainer.report.single_run import Facts
from trainer.report.style import GREY, INK, VERDICTS, Look, looks

TOGETHER = 3  # arms whose losses are still readable in one figure
LETTERS = 24  # in a line of an arm's name


def losses(dataset: Facts) -> list[Chart]:
    """Figure 4: train and validation loss per epoch, the mean of the seeds and their range.

    All arms in one figure, or each in its own where they are more than three.
    """
    arms = dataset["arms"]
    groups = [arms] if len(arms) <= TOGETHER else [[arm] for arm in arms]
    charts = []
    for shown in groups:
        ends = [
            f"{arm['title']} {arm['last']['train_loss']:.3f} in training,"
            f" {arm['last']['val_loss']:.3f} in validation, a gap of {arm['last']['gap']:+.3f}"
            for arm in shown
        ]
        title = " · ".join(arm["title"] for arm in shown)
        alt = f"Loss per epoch; in the last one {'; '.join(ends)}."
        draw = partial(_losses, dataset=dataset, shown=shown)
        charts.append(
            make_chart(dataset["digest"], "losses", title, alt, 3.1 + 0.4 * len(shown), draw)
        )
    return charts


def _losses(axes: Axes, *, dataset: Facts, shown: Sequence[Facts]) -> None:
    label = "validation of the other arms"
    for arm in sorted(dataset["arms"], key=lambda arm: arm not in shown):
        curves = _curves(arm)
        epochs = np.arange(1, curves.shape[1] + 1)
        if arm not in shown:
            val = curves[:, :, 1].mean(axis=0)
            axes.plot(epochs, val, color=GREY, lw=0.9, label=label, zorder=1)
            label = "_"  # the legend names them once
            continue
        look, name = looks(dataset)[arm["title"]], f"{arm['title']}, " if len(shown) > 1 else ""
        gap = f" (final gap {arm['last']['gap']:+.3f})"
        for part, word, dashes in ((0, "train", "--"), (1, f"validation{gap}", "-")):
            low, mean, high = (f(curves[:, :, part], axis=0) for f in (np.min, np.mean, np.max))
            axes.fill_between(epochs, low, high, color=look.colour, alpha=0.15, lw=0)
            axes.plot(
                epochs,
                mean,
                color=look.colour,
                linestyle=dashes,
                marker=look.marker,
                markerfacecolor=look.face if part else "white",
                markevery=max(1, len(epochs) // 10),
                label=name + word,
            )
    axes.set_ylim(_limits(np.concatenate([_curves(arm).ravel() for arm in dataset["arms"]])))
    axes.set(xlabel="epoch", ylabel="loss per known label")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), borderaxespad=0)


def _curves(arm: Facts) -> npt.NDArray[np.float64]:
    """[seeds, epochs, 2]: train and validation loss; nan where there is none."""
    return np.array([run["losses"] for run in arm["runs"]], float)


def rocs(dataset: Facts) -> list[Chart]:
    """The ROC curve of each target: the mean of the seeds, every arm."""
    return _charts(dataset, "roc", "ROC curves; AUC", _roc, lambda _: WIDTH)


def _roc(axes: Axes, rows: "Rows") -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8)
    for number, (arm, look, found) in enumerate(rows):
        axes.plot(
            [0, *np.linspace(0, 1, len(found["roc"]))],
            [0, *found["roc"]],
            color=look.colour,
            linestyle=look.dashes,
            marker=look.marker,
            markerfacecolor=look.face,
            markevery=(6 + 3 * number, 20),  # no two arms' at the same place
            label=f"{fill(arm, LETTERS)} {found['auc']['value']:.3f}",
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="1 − specificity", ylabel="sensitivity")
    axes.legend(loc="lower right", title="AUC", alignment="left", borderaxespad=0.2)


def aucs(dataset: Facts) -> list[Chart]:
    """The AUC of each target: an arm per row with its interval, and a tick per seed."""
    ends = [
        found["auc"][end]
        for name in _drawn(dataset)
        for _, _, found in _rows(dataset, name)
        for end in ("value", "low", "high")
    ]
    draw = partial(_aucs, limits=_limits([0.5, *ends]))
    return _charts(dataset, "auc", "AUC", draw, lambda rows: 0.75 + 0.36 * len(rows))


def _aucs(axes: Axes, rows: "Rows", *, limits: tuple[float, float]) -> None:
    axes.axvline(0.5, color=GREY, lw=1)
    for y, (_, look, found) in enumerate(rows):
        seeds = found["auc_of_seeds"]
        axes.plot(seeds, [y + 0.28] * len(seeds), "|", color=look.colour, ms=6, mew=1.2)
        _interval(axes, y, found["auc"], look)
    _dress(axes, [arm for arm, _, _ in rows], limits, "AUC")


def forest(dataset: Facts) -> list[Chart]:
    """How the AUC of each arm differs from its controls', with verdicts, a figure per target."""
    rows = [row for row in dataset["comparisons"] if row["target"] and "value" in row]
    limits = _limits([0, *(row[end] for row in rows for end in ("value", "low", "high"))])
    charts = []
    for target in dataset["targets"]:
        shown = [row for row in rows if row["pathology"] == target]
        said = [
            f"{row['arm']} against {row['control']} {row['value']:+.3f}, {row['verdict']}"
            for row in shown
        ]
        if shown:
            alt = f"Differences of AUC in {target}: {'; '.join(said)}."
            height = 0.75 + 0.27 * (len(shown) + len({row["arm"] for row in shown}))
            draw = partial(_forest, rows=shown, limits=limits)
            charts.append(make_chart(dataset["digest"], "forest", target, alt, height, draw))
    return charts


def _forest(axes: Axes, *, rows: Sequence[Facts], limits: tuple[float, float]) -> None:
    axes.axvline(0, color=INK, lw=1)
    names: list[str] = []
    heads: list[int] = []
    for arm, group in groupby(rows, key=lambda row: row["arm"]):
        heads.append(len(names))
        names.append(arm)
        for row in group:
            colour, marker = VERDICTS[row["verdict"]]
            look = Look(colour=colour, marker=marker, dashes="-", face=colour)
            _interval(axes, len(names), row, look)
            axes.annotate(
                row["verdict"],
                (1.03, len(names)),
                xycoords=axes.get_yaxis_transform(),
                color=colour,
                va="center",
            )
            names.append(f"vs {row['control']}")
    _dress(axes, names, limits, "← worse\u00a0\u00a0\u00a0AUC difference\u00a0\u00a0\u00a0better →")
    for number in heads:
        axes.get_yticklabels()[number].set(color=INK, weight="bold")


def calibration(dataset: Facts) -> list[Chart]:
    """The reliability diagram of each target: a point per bin, its area by the bin's images."""
    return _charts(dataset, "calibration", "Reliability; AUC", _reliability, lambda _: WIDTH)


def _reliability(axes: Axes, rows: "Rows") -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8)
    for arm, look, found in rows:
        images, predicted, observed = (
            np.array([part[name] for part in found["reliability"]])
            for name in ("images", "predicted", "observed")
        )
        axes.plot(predicted, observed, color=look.colour, linestyle=look.dashes, lw=0.8, alpha=0.6)
        area = 8 + 320 * images / images.sum()
        axes.scatter(
            predicted, observed, area, color=look.colour, marker=look.marker, alpha=0.75, lw=0
        )
        name = fill(arm, LETTERS)
        axes.plot([], [], look.marker, color=look.colour, label=name)  # the legend's, of one size
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="predicted probability", ylabel="share that is positive")
    axes.legend(loc="upper left", borderaxespad=0.2)


Rows = list[tuple[str, Look, Facts]]  # an arm's title, look and figures of one pathology


def _drawn(dataset: Facts) -> list[str]:
    """The pathologies with a figure of any arm."""
    return [n for n in dataset["targets"] or dataset["positives"] if _rows(dataset, n)]


def _rows(dataset: Facts, pathology: str) -> Rows:
    """The arms with a figure."""
    look = looks(dataset)
    return [
        (arm["title"], look[arm["title"]], found)
        for arm in dataset["arms"]
        if "auc" in (found := arm["pathologies"][pathology])
    ]


def _charts(
    dataset: Facts,
    kind: str,
    words: str,
    draw: Callable[..., None],
    height: Callable[[Rows], float],
) -> list[Chart]:
    charts = []
    for name in _drawn(dataset):
        rows = _rows(dataset, name)
        said = ", ".join(f"{arm} {found['auc']['value']:.3f}" for arm, _, found in rows)
        alt = f"{name}: {words} {said}."
        charts.append(
            make_chart(dataset["digest"], kind, name, alt, height(rows), partial(draw, rows=rows))
        )
    return charts


def _limits(values: Sequence[float | None] | npt.NDArray[np.float64]) -> tuple[float, float]:
    """The ends of an axis that holds them all, with some air."""
    found = np.array(values, float)
    low, high = float(np.nanmin(found)), float(np.nanmax(found))
    air = max(0.06 * (high - low), 0.004)
    return low - air, high + air


def _interval(axes: Axes, y: float, found: Facts, look: Look) -> None:
    if found["low"] is not None:
        axes.plot([found["low"], found["high"]], [y, y], color=look.colour, lw=2.2)
    axes.plot([found["value"]], [y], look.marker, color=look.colour, mfc=look.face, ms=7)


def _dress(axes: Axes, names: Sequence[str], limits: tuple[float, float], label: str) -> None:
    axes.set_yticks(range(len(names)), [fill(name, LETTERS) for name in names])
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=limits, xlabel=label)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
