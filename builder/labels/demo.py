"""The demo: CheXpert's real labels, whose images the phantom draws."""

from dataclasses import replace
from pathlib import Path

from builder.contract import UsageError
from builder.labels.chexpert import read_chexpert
from builder.labels.label_table import LabelTable


def read_demo(labels: Path | None, root: Path | None) -> LabelTable:
    """CheXpert's table as torchxrayvision ships it, without images; UsageError if a path is given.

    Both arguments are None: the demo needs no files of the user's.
    """
    if labels is not None or root is not None:
        raise UsageError(
            "--dataset demo has labels and images of its own: remove --labels and --root."
        )
    return replace(read_chexpert(None, None), dataset="demo")
