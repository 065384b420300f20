"""Dose curves → a figure for each target: the difference in AUC over the share."""

from collections.abc import Mapping, Sequence
from functools import partial
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from trainer.report.across import DoseCurve
from trainer.report.chart import Chart, make_chart
from trainer.report.dose import curves_by_figure
from trainer.report.figures import MAX_LETTERS
from trainer.report.sentences import with_minus
from trainer.report.style import INK, Style

APART = 0.35  # per cent of share between curves, so that their intervals do not cover each other


def doses(curves: Sequence[DoseCurve], style: Mapping[str, Style]) -> list[Chart]:
    """A figure for each target; a curve has its control's colour and its arm's marker.

    Styles by the arms' titles.
    """
    charts = []
    for title, found in curves_by_figure(curves).items():
        said = "; ".join(
            f"{curve.arm} minus {curve.control}: "
            + ", ".join(f"{p.value:+.3f} at {100 * p.share:g} %" for p in curve.points)
            for curve in found
        )
        alt = with_minus(f"Difference in AUC over the share for {title}: {said}.")
        draw = partial(_dose, curves=found, style=style)
        height = 2.7 + 0.25 * len(found)
        charts.append(make_chart("", "dose", title, alt, height, draw))
    return charts


def _dose(axes: Axes, *, curves: Sequence[DoseCurve], style: Mapping[str, Style]) -> None:
    axes.axhline(0, color=INK, lw=1)
    for number, curve in enumerate(curves):
        colour, own = style[curve.control].colour, style[curve.arm]
        shift = APART * (number - (len(curves) - 1) / 2)
        share = np.array([100 * point.share + shift for point in curve.points])
        for x, point in zip(share, curve.points, strict=True):
            if point.low is not None and point.high is not None:
                axes.plot([x, x], [point.low, point.high], color=colour, lw=1.6)
        axes.plot(
            share,
            [point.value for point in curve.points],
            color=colour,
            linestyle=own.dashes,
            marker=own.marker,
            markerfacecolor="white" if own.face == "white" else colour,
            label=fill(f"{curve.arm} − {curve.control}", 2 * MAX_LETTERS),
        )
    shares = sorted({100 * point.share for curve in curves for point in curve.points})
    axes.set_xticks(shares, [f"{share:g} %" for share in shares])
    axes.set_xlim(min(shares) - 2, max(shares) + 2)
    axes.set(xlabel="share of each target in training", ylabel="AUC difference")
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.22), borderaxespad=0)
