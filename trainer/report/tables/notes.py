"""Sentences below a table: which seeds it covers, and why a figure is missing."""

from collections.abc import Iterable

from trainer.report.results import Comparison, DatasetResult


def seeds(dataset: DatasetResult) -> str:
    """Which seeds the arms were trained with."""
    by_seeds: dict[str, list[str]] = {}
    for arm in dataset.arms:
        numbers = ", ".join(str(run.seed) for run in arm.runs)
        by_seeds.setdefault(numbers, []).append(arm.title)
    if len(by_seeds) == 1:
        return f"{dataset.name}: every arm with seeds {next(iter(by_seeds))}."
    said = [f"{', '.join(arms)} with seeds {numbers}" for numbers, arms in by_seeds.items()]
    return f"{dataset.name}: {'; '.join(said)}."


def reasons(dataset: DatasetResult, names: Iterable[str]) -> list[str]:
    """Why a pathology's AUC or its interval is missing, and in which arms if not in all."""
    found: dict[str, list[str]] = {}
    for name in names:
        for arm in dataset.arms:
            if missing := arm.pathologies[name].missing:
                found.setdefault(f"{dataset.name}, {name}: {missing}", []).append(arm.title)
    return [
        f"{why}." if len(arms) == len(dataset.arms) else f"{why} ({', '.join(arms)})."
        for why, arms in found.items()
    ]


def no_interval(comparisons: Iterable[Comparison]) -> list[str]:
    """Why a difference has no interval, where one has none."""
    if any(row.value is not None and row.low is None for row in comparisons):
        return [
            "There is no interval where all positive or all negative images belong to one patient,"
            " or where neither patients nor seeds change the difference."
        ]
    return []
