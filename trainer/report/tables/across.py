"""The tables of several datasets together: dose curves, and variants against plain gan."""

from collections.abc import Sequence

from trainer.report.across import HasInterval
from trainer.report.comparison_report import Report
from trainer.report.conclusions import EFFECTS
from trainer.report.dose import curves_by_figure
from trainer.report.sentences import DASH
from trainer.report.tables.cells import (
    Row,
    Table,
    ci,
    count,
    interval,
    number,
    p_value,
    pair,
    starts,
)


def doses(report: Report) -> Table:
    """The difference at each share."""
    found = [
        (title, curve, point)
        for title, curves in curves_by_figure(report.doses).items()
        for curve in curves
        for point in curve.points
    ]
    rows = tuple(
        (
            title,
            pair(curve.arm, curve.control),
            f"{100 * point.share:g} %",
            count(point.synthetic),
            *_figures(point, point.holm, point.verdict),
            point.dataset,
        )
        for title, curve, point in found
    )
    return Table(
        key="dose",
        title="Dose: difference in AUC by the share of each target",
        columns=(
            *("target", "arm − control", "share", "synthetic"),
            *("difference", ci(report.settings), "p (Holm)", "verdict", "dataset"),
        ),
        align="llrrrrrll",
        rows=rows,
        note="The datasets differ in the share of their plan and in nothing else, and their arms"
        " were trained alike. Each row is the dataset's own comparison; nothing is adjusted over"
        " shares. With --steps equal a larger share makes longer epochs, of the control, too.",
        starts=starts(rows, 2),
        strong=_strong([point.verdict for *_, point in found]),
    )


def variants(report: Report) -> Table:
    """Each arm with synthetic images against plain gan."""
    found = report.variants
    rows = tuple(
        (
            row.dataset,
            row.arm,
            "; ".join(row.differs) or DASH,
            row.pathology,
            *_figures(row, row.holm, row.verdict),
        )
        for row in found
    )
    references = dict.fromkeys(f"gan of {row.reference}" for row in found)
    why = dict.fromkeys(f"{row.pathology}: {row.missing}." for row in found if row.missing)
    return Table(
        key="variants",
        title="Variants: difference in AUC from plain gan",
        columns=(
            *("dataset", "arm", "built or trained otherwise", "target"),
            *("difference", ci(report.settings), "p (Holm)", "verdict"),
        ),
        align="llllrrrl",
        rows=rows,
        note=" ".join(
            [
                f"AUC of the arm minus that of {', '.join(references)}, the reference, on"
                " the same resamples of the same patients. p is adjusted over the targets of each"
                " variant (Holm), not over variants. Better or worse says nothing about real"
                " images only: see Table 2.",
                *why,
            ]
        ),
        starts=starts(rows, 2),
        strong=_strong([row.verdict for row in found]),
    )


def _figures(found: HasInterval, holm: float | None, verdict: str) -> Row:
    return number(found.value, "+"), interval(found.low, found.high, "+"), p_value(holm), verdict


def _strong(verdicts: Sequence[str]) -> frozenset[int]:
    return frozenset(i for i, verdict in enumerate(verdicts) if verdict in EFFECTS)
