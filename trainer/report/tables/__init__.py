"""Report → its tables, as plain text for a page, Markdown or LaTeX.

A dash marks a missing figure, and the note below the table says why it is missing.
"""

from trainer.report.comparison_report import Report
from trainer.report.tables.across import doses, variants
from trainer.report.tables.cells import Table
from trainer.report.tables.dataset import differences, figures, others, subgroups
from trainer.report.tables.external import external_aucs, external_differences
from trainer.report.tables.paper import table1, table2, training
from trainer.report.tables.repeat import repeat

__all__ = ["Table", "tables"]

OF_A_DATASET = (
    *(differences, external_differences, external_aucs),
    *(others, figures, subgroups),
)


def tables(report: Report) -> list[Table]:
    """The tables in reading order; one without rows is left out."""
    datasets, settings = report.datasets, report.settings
    found = [table1(datasets), table2(datasets, settings)]
    for dataset in datasets:
        found += [make(dataset, settings) for make in OF_A_DATASET]
    found += [doses(report), variants(report), training(datasets), repeat(report)]
    return [table for table in found if table.rows]
