"""Real label tables: a dataset's name, its table and the folder of its images → LabelTable.

Each dataset has a module of its own; `datasets` chooses among them and applies the policy for
uncertain labels. `pathologies` knows the names, `demographics` the words for view, sex and age.
"""

from builder.labels.datasets import read_labels
from builder.labels.label_table import LabelTable
from builder.labels.pathologies import CHEXPERT, NIH, NO_FINDING, canonical, find_pathology

__all__ = [
    "CHEXPERT",
    "NIH",
    "NO_FINDING",
    "LabelTable",
    "canonical",
    "find_pathology",
    "read_labels",
]
