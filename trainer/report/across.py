"""Several runs into report.json: what the page, the tables and the terminal say."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from trainer.report.compare import FEW, compare, settings
from trainer.report.run import SOFTWARE, Facts
from trainer.report.runs import find_runs, load_run, studies
from trainer.report.words import conclusions, notes


def across(paths: Sequence[Path], *, min_positives: int, command: str) -> Facts:
    """What the runs at or below `paths` say together, as plain JSON types.

    `settings`; `datasets` by regime and name, each as compare.compare gives it with `conclusions`
    (words.conclusions); `notes`; `command` and `software` that made it.
    """
    datasets = []
    for study in studies([load_run(folder) for folder in find_runs(paths)]):
        found = compare(study, min_positives=min_positives)
        datasets.append(found | {"conclusions": conclusions(found)})
    return {
        "settings": settings(min_positives),
        "notes": notes(datasets, min_positives, FEW),
        "datasets": datasets,
        "command": command,
        "software": {"python": platform.python_version()} | {n: version(n) for n in SOFTWARE},
    }
