"""Any CSV file with a row per image: the user's own labels."""

from pathlib import Path

import pandas as pd

from builder.contract import GROUPS, UsageError
from builder.labels.csv import read_csv
from builder.labels.demographics import SEXES, VIEWS, bands, cells, known, years_of
from builder.labels.label_table import LabelTable, checked, refuse

_NOT_LABELS = ("image", "patient", *GROUPS)


def read_table(labels: Path | None, root: Path | None) -> LabelTable:
    """The table at `labels`; its images lie below `root`, or beside the table."""
    if labels is None:
        raise UsageError("--dataset table needs the CSV: add --labels FILE.csv.")
    frame = read_csv(labels, ("image", "patient"))
    findings = [name for name in frame.columns if name not in _NOT_LABELS]
    if not findings:
        raise UsageError(f"{labels} has no label column beside {', '.join(frame.columns)}.")
    image = frame["image"].astype("string")
    outside = image.str.match(r"/|.*\.\.(/|$)", na=False)
    refuse(outside, labels, "image", "leads out of the image folder", frame)
    rows = pd.DataFrame(
        {
            "image": image,
            "patient": frame["patient"].astype("string"),
            "view": known(frame, VIEWS, "view"),
            "sex": known(frame, SEXES, "sex"),
            "age": bands(years_of(cells(frame, "age"))),
            "file": image,
        }
    )
    if "view" in frame:  # it decides what is used; sex and age only say what is compared
        strange = (rows["view"] == "") & frame["view"].notna()
        refuse(strange, labels, "view", "is no view: expected PA, AP, frontal or lateral", frame)
    folder = root if root is not None else labels.absolute().parent
    return checked("table", labels, rows, frame[findings], folder)
