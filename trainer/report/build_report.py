"""Several runs into report.json: what the page, the tables and the terminal say."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from trainer.progress import progress
from trainer.report.compare import compare, settings
from trainer.report.conclusions import conclusions, notes
from trainer.report.load import load_run
from trainer.report.resampled import effort
from trainer.report.single_run import FEW, SOFTWARE, Facts
from trainer.report.studies import find_runs, studies


def across(paths: Sequence[Path], *, min_positives: int, command: str) -> Facts:
    """What the runs at or below `paths` say together, as plain JSON types.

    `settings`; `datasets` by regime and name, each as compare.compare gives it with `conclusions`
    (words.conclusions); `notes`; `command` and `software` that made it.
    """
    found = studies([load_run(folder) for folder in find_runs(paths)])
    datasets = []
    with progress("comparing", sum(map(effort, found)), unit="AUCs") as advance:
        for study in found:
            facts = compare(study, min_positives=min_positives, advance=advance)
            datasets.append(facts | {"conclusions": conclusions(facts)})
    return {
        "settings": settings(min_positives),
        "notes": notes(datasets, min_positives, FEW),
        "datasets": datasets,
        "command": command,
        "software": {"python": platform.python_version()} | {n: version(n) for n in SOFTWARE},
    }
