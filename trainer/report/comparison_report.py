"""What several runs say together, as report.json of a comparison holds it → Report."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from builder.contract.record import Count, as_record
from trainer.report.across import DoseCurve, Variant
from trainer.report.results import DatasetResult
from trainer.report.run_report import nested_config, read_facts


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

    def to_json(self) -> str:
        """The text of report.json."""
        facts = msgspec.to_builtins(self)
        runs = (run for data in self.datasets for arm in data.arms for run in arm.runs)
        for raw, run in zip(_runs(facts), runs, strict=True):
            raw["config"] = run.config.to_json()  # flat, as in config.json
        return json.dumps(facts, indent=2) + "\n"


def read_report(path: Path) -> Report:
    """The report.json of a comparison, every field checked; CheckError where it is damaged."""
    raw = read_facts(path)
    for run in _runs(raw):
        run["config"] = nested_config(run.get("config"))
    return as_record(raw, Report, str(path), exact=False)


def _runs(raw: object) -> Iterator[dict[str, object]]:
    """The runs of all arms of all datasets in the JSON of a report."""
    for dataset in _objects(raw, "datasets"):
        for arm in _objects(dataset, "arms"):
            yield from _objects(arm, "runs")


def _objects(raw: object, name: str) -> list[dict[str, object]]:
    found = raw.get(name) if isinstance(raw, dict) else None
    parts = found if isinstance(found, list | tuple) else ()
    return [part for part in parts if isinstance(part, dict)]
