"""Real label tables: a dataset's name, its table and the folder of its images → LabelTable.

Each dataset has a file of its own, and `datasets` lists them: one file and one line add another.
`csv` reads a table, `demographics` its view, sex and age, `pathologies` knows which names mean the
same, and `label_table` checks every cell.
"""

from builder.labels.chexpert import CHEXPERT
from builder.labels.datasets import read_labels
from builder.labels.label_table import LabelTable
from builder.labels.nih import NIH
from builder.labels.pathologies import NO_FINDING, canonical, find_pathology

__all__ = [
    "CHEXPERT",
    "NIH",
    "NO_FINDING",
    "LabelTable",
    "canonical",
    "find_pathology",
    "read_labels",
]
