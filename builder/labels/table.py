"""Any CSV file with one row per image: the user's own labels."""

import pandas as pd

from builder.contract import GROUPS, UsageError
from builder.labels.cells import refuse_cells
from builder.labels.demographics import (
    SEXES,
    VIEWS,
    age_bands,
    group_words,
    parse_ages,
    text_cells,
)
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.source import Source
from builder.labels.tables import read_csv

_NOT_LABELS = ("image", "patient", *GROUPS)


def read_table(source: Source) -> LabelTable:
    """The user's table: columns image and patient, optional view, sex and age, then labels.

    The images' paths are relative to the root, or to the table's own folder where that is None.
    Raises UsageError for a missing or untrusted table, an image outside the folder, or an unknown
    view.
    """
    labels, root = source.labels, source.root
    if labels is None:
        raise UsageError("--dataset table needs the CSV: add --labels FILE.csv.")
    frame = read_csv(labels, ("image", "patient"), text=("image", "patient"))
    findings = [name for name in frame.columns if name not in _NOT_LABELS]
    if not findings:
        raise UsageError(f"{labels} has no label column, only {', '.join(frame.columns)}.")
    image = frame["image"].astype("string")
    outside = image.str.match(r"/|.*\.\.(/|$)", na=False)
    refuse_cells(outside, labels, "image", "leads out of the image folder", frame["image"])
    rows = pd.DataFrame(
        {
            "image": image,
            "patient": frame["patient"].astype("string"),
            "view": group_words(frame, VIEWS, "view"),
            "sex": group_words(frame, SEXES, "sex"),
            "age": age_bands(parse_ages(text_cells(frame, "age"))),
            "file": image,
        }
    )
    if "view" in frame:  # it decides which images are used; sex and age are only compared
        unknown = (rows["view"] == "") & frame["view"].notna()
        why = "is not a view: expected PA, AP, frontal or lateral"
        refuse_cells(unknown, labels, "view", why, frame["view"])
    return make_label_table(
        dataset="table",
        path=labels,
        rows=rows,
        labels=frame[findings],
        root=root if root is not None else labels.absolute().parent,
    )
