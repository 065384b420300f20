"""Sentences below a table: which seeds it is over, and why something is missing in it."""

from collections.abc import Iterable

from trainer.report.single_run import Facts


def seeds(dataset: Facts) -> str:
    """Which seeds the arms were trained with."""
    by_seeds: dict[str, list[str]] = {}
    for arm in dataset["arms"]:
        numbers = ", ".join(str(run["seed"]) for run in arm["runs"])
        by_seeds.setdefault(numbers, []).append(arm["title"])
    if len(by_seeds) == 1:
        return f"{dataset['name']}: every arm with seeds {next(iter(by_seeds))}."
    said = [f"{', '.join(arms)} with seeds {numbers}" for numbers, arms in by_seeds.items()]
    return f"{dataset['name']}: {'; '.join(said)}."


def reasons(dataset: Facts, names: Iterable[str]) -> list[str]:
    """Why a pathology's AUC or its interval is missing, and of which arms if not of all."""
    found: dict[str, list[str]] = {}
    for name in names:
        for arm in dataset["arms"]:
            if missing := arm["pathologies"][name]["missing"]:
                found.setdefault(f"{dataset['name']}, {name}: {missing}", []).append(arm["title"])
    return [
        f"{why}." if len(arms) == len(dataset["arms"]) else f"{why} ({', '.join(arms)})."
        for why, arms in found.items()
    ]


def no_interval(comparisons: Iterable[Facts]) -> list[str]:
    """Why a difference has no interval, where one has none."""
    if any("value" in row and row["low"] is None for row in comparisons):
        return [
            "No interval where all positives or all negatives are one patient's, or where neither"
            " patients nor seeds move the difference."
        ]
    return []
