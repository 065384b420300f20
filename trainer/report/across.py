"""What several datasets of a report say together: dose curves, and variants of plain gan.

These records are part of the schema of report.json (`comparison_report`).
"""

from dataclasses import dataclass

from builder.contract.record import Count
from trainer.evaluate.inference import NO_VERDICT
from trainer.report.results import AucEstimate, Comparison, SubgroupDifference, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DosePoint:
    """The difference at one share."""

    dataset: str
    share: float  # that the plan reaches for every target
    synthetic: Count  # images in training
    value: float
    low: float | None  # 95 % interval
    high: float | None
    holm: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseCurve:
    """The AUC of an arm less that of a control, on one target, by share."""

    about: str  # its datasets, such as `gan5 to gan25`; other curves may be of others
    pathology: str
    arm: str  # title
    control: str  # title
    points: tuple[DosePoint, ...]  # by share


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The AUC of an arm with synthetic images less that of plain `gan`, on one target."""

    dataset: str
    arm: str  # title
    differs: tuple[str, ...]  # in what it was built or trained otherwise, such as `vectors alone`
    reference: str  # the dataset of plain gan
    pathology: str
    missing: str | None  # why there is no difference
    value: float | None = None
    low: float | None = None  # 95 % interval
    high: float | None = None
    error: float | None = None
    degrees: float | None = None
    seed_share: float | None = None
    p: float | None = None
    holm: float | None = None  # p adjusted over the targets
    verdict: Verdict = NO_VERDICT


# An AUC or a difference of two, where there is one, with its 95 % interval.
HasInterval = AucEstimate | Comparison | DosePoint | SubgroupDifference | Variant
