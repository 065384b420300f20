"""What several runs say together, as report.json of a comparison holds it → Report."""

from dataclasses import dataclass
from pathlib import Path

from builder.contract.record import Count, as_record
from trainer.report.across import DoseCurve, Variant
from trainer.report.results import DatasetResult
from trainer.report.run_report import read_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """How the figures were made."""

    level: float  # of significance; intervals are of 1 - level
    resamples: Count
    seed: Count  # of the resamples
    min_positives: Count  # below it there is no figure
    few: Count  # below it there is a warning
    specificity: float  # at which sensitivity is given
    bins: Count  # of calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What report.json of a comparison holds."""

    settings: ReportSettings
    notes: tuple[str, ...]
    datasets: tuple[DatasetResult, ...]  # by regime and name
    command: str
    software: dict[str, str]
    doses: tuple[DoseCurve, ...] = ()  # of datasets that differ in the share alone
    variants: tuple[Variant, ...] = ()  # arms with synthetic images against plain gan


def read_report(path: Path) -> Report:
    """The report.json of a comparison, every field checked; CheckError where it is damaged."""
    return as_record(read_facts(path), Report, str(path), exact=False)
