"""Real label tables: a dataset's name, its table and the folder of its images → LabelTable.

Each dataset has a file of its own, and `datasets` lists them.
`tables` reads a table in any `dialect`, `images` finds its files, `patients` tells persons apart,
`demographics` holds the words for view, sex and age, `splits` those of an official split, and
`pathologies` knows which names mean the same. `label_table` checks every cell.
"""

from builder.labels.chexpert import CHEXPERT
from builder.labels.datasets import read_labels
from builder.labels.images import check_files
from builder.labels.label_table import LabelTable
from builder.labels.nih import NIH
from builder.labels.pathologies import NO_FINDING, canonical, find_pathology

__all__ = [
    "CHEXPERT",
    "NIH",
    "NO_FINDING",
    "LabelTable",
    "canonical",
    "check_files",
    "find_pathology",
    "read_labels",
]
