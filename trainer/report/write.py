"""The report of several runs as files: report.html, .md, .tex and .json."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from builder.contract import write_last
from builder.contract.record import to_json
from trainer.report.audited import audit_of
from trainer.report.build_report import build_report
from trainer.report.comparison_report import Report
from trainer.report.markup import latex, markdown
from trainer.report.page import page
from trainer.report.pictures import pictures


def write_report(
    paths: Sequence[Path],
    out: Path,
    *,
    min_positives: int,
    command: str,
    tests: Sequence[str] | None = None,
) -> Report:
    """The report of the runs at or below `paths`, once all four files lie in `out`.

    `tests`: as in `build_report`. report.json is written last.
    """
    report = build_report(paths, min_positives=min_positives, command=command, tests=tests)
    found = [pictures(dataset) for dataset in report.datasets]
    why = tuple(sentence for _, sentences in found for sentence in sentences)
    audits = [audit_of(dataset) for dataset in report.datasets]
    said = tuple(audit.note for audit in audits if audit.note)
    report = replace(
        report,
        notes=report.notes + why + said,
        datasets=tuple(
            replace(dataset, audit=audit.summary)
            for dataset, audit in zip(report.datasets, audits, strict=True)
        ),
    )
    links = {
        dataset.digest: _link(audit.page, out)
        for dataset, audit in zip(report.datasets, audits, strict=True)
        if audit.page
    }
    texts = {
        "report.html": page(report, [picture for shown, _ in found for picture in shown], links),
        "report.md": markdown(report),
        "report.tex": latex(report),
        "report.json": to_json(report),
    }
    files = {name: text.encode(errors="replace") for name, text in texts.items()}  # paths are bytes
    for name, data in files.items():
        write_last(out / name, data)
    return report


def _link(path: Path, folder: Path) -> str:
    """The address of a file on a page in that folder: from there on, so that both can move."""
    return quote(os.path.relpath(os.fsencode(path.absolute()), os.fsencode(folder.absolute())))
