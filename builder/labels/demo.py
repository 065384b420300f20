"""The demo: CheXpert's real labels, whose images the phantom draws."""

from dataclasses import replace

from builder.contract import UsageError
from builder.labels.chexpert import read_chexpert
from builder.labels.label_table import LabelTable
from builder.labels.source import Source


def read_demo(source: Source) -> LabelTable:
    """CheXpert's table as torchxrayvision ships it, without images; UsageError if a path is given.

    The demo needs no files of the user's.
    """
    if source.labels is not None or source.root is not None:
        raise UsageError(
            "--dataset demo has labels and images of its own: remove --labels and --root."
        )
    return replace(read_chexpert(Source()), dataset="demo")
