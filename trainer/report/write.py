"""The report of several runs as files: report.html, .json, .md and .tex."""

import json
from collections.abc import Sequence
from pathlib import Path

from builder.contract import write_last
from trainer.report.build_report import across
from trainer.report.markup import latex, markdown
from trainer.report.page import page
from trainer.report.pictures import pictures
from trainer.report.single_run import Facts


def write_report(paths: Sequence[Path], out: Path, *, min_positives: int, command: str) -> Facts:
    """What report.json holds, once all four files lie in `out`; report.json is the last of them."""
    facts = across(paths, min_positives=min_positives, command=command)
    shown = []
    for dataset in facts["datasets"]:
        found, why = pictures(dataset)
        shown += found
        facts["notes"] += why
    texts = {
        "report.html": page(facts, shown),
        "report.md": markdown(facts),
        "report.tex": latex(facts),
        "report.json": json.dumps(facts, indent=2) + "\n",
    }
    files = {name: text.encode(errors="replace") for name, text in texts.items()}  # paths are bytes
    for name, data in files.items():
        write_last(out / name, data)
    return facts
