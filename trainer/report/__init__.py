"""Runs → what they found, for people and programs.

In: the scores of a run, or the folders of several runs. Out: report.json, report.md and curves.png
of the run (`single_run`); or report.html, .json, .md and .tex that compare its arms (`write`).
`run_report` and `results` are the records that flow, and the schemas of the two report.json.
"""

from trainer.report.comparison_report import Report, read_report
from trainer.report.gathering import gather
from trainer.report.run_report import RunReport, load_report
from trainer.report.single_run import curves, external_tables, markdown, table
from trainer.report.style import COLOURS, GREY

__all__ = [
    "COLOURS",
    "GREY",
    "Report",
    "RunReport",
    "curves",
    "external_tables",
    "gather",
    "load_report",
    "markdown",
    "read_report",
    "table",
]
