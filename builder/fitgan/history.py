"""What a run records: an Iteration per training step, a HistoryRow per snapshot, history.csv."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The losses of one iteration and how real the discriminator found its images, on average."""

    d_loss: float  # of the discriminator, without penalty
    penalty: float  # 0 where R1 was not due
    g_loss: float  # of the generator
    real: float  # mean realness of the real images
    fake: float  # mean realness of the generated images


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One update of both networks."""

    kimg: float  # thousands of real images seen so far
    lod: float  # levels of detail still missing
    losses: Losses


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """A snapshot: the means since the one before, and how much the average's images vary.

    The fields are the columns of history.csv, in order.
    """

    kimg: float
    lod: float
    d_loss: float
    g_loss: float
    real: float
    fake: float
    penalty: float  # mean over the iterations in which it was due
    spread: float  # over latents, relative to real images
    label_effect: float  # over labels, relative to real images


def history_row(
    iterations: Sequence[Iteration], *, spread: float, label_effect: float
) -> HistoryRow:
    """The row of the iterations since the last snapshot; there is at least one."""
    losses = [iteration.losses for iteration in iterations]
    penalties = [loss.penalty for loss in losses if loss.penalty]
    count = len(losses)
    return HistoryRow(
        kimg=iterations[-1].kimg,
        lod=iterations[-1].lod,
        d_loss=sum(loss.d_loss for loss in losses) / count,
        g_loss=sum(loss.g_loss for loss in losses) / count,
        real=sum(loss.real for loss in losses) / count,
        fake=sum(loss.fake for loss in losses) / count,
        penalty=sum(penalties) / len(penalties) if penalties else 0.0,
        spread=spread,
        label_effect=label_effect,
    )


def history_csv(history: Sequence[HistoryRow]) -> bytes:
    """The bytes of history.csv: a header and a line per row, six significant digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(HistoryRow))
    writer.writerows([f"{value:.6g}" for value in asdict(row).values()] for row in history)
    return text.getvalue().encode()
