"""Every table of a report of several runs, as plain text for a page, Markdown or LaTeX.

All comes from report.json; a dash stands where there is nothing, and the note says why.
"""

from trainer.report.single_run import Facts
from trainer.report.tables.cells import DASH, OTHER, Table
from trainer.report.tables.dataset import differences, figures, others, subgroups
from trainer.report.tables.paper import table1, table2, training
from trainer.report.tables.repeat import repeat

__all__ = ["DASH", "OTHER", "Table", "tables"]


def tables(facts: Facts) -> list[Table]:
    """The tables in reading order; one without rows is left out."""
    datasets, settings = facts["datasets"], facts["settings"]
    found = [table1(datasets), table2(datasets, settings)]
    for dataset in datasets:
        found += [make(dataset, settings) for make in (differences, others, figures, subgroups)]
    found += [training(datasets), repeat(datasets, facts)]
    return [table for table in found if table.rows]
