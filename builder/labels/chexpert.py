"""CheXpert: its label table, and where its images lie."""

from pathlib import Path

import pandas as pd

from builder.contract import UsageError
from builder.labels.csv import read_csv, shipped_table
from builder.labels.demographics import SEXES, VIEWS, bands, cells, known, years_of
from builder.labels.label_table import LabelTable, checked
from builder.labels.pathologies import CHEXPERT


def read_chexpert(labels: Path | None, root: Path | None) -> LabelTable:
    """The table at `labels`, or the copy that torchxrayvision ships; `root` has the images."""
    path = labels or shipped_table("chexpert_train.csv.gz")
    frame = read_csv(path, ("Path", "Frontal/Lateral", *CHEXPERT))
    names = frame["Path"].astype(str)
    inside = names.str.replace(r"^CheXpert-[^/]*/", "", regex=True)
    view, beam = known(frame, VIEWS, "Frontal/Lateral"), known(frame, VIEWS, "AP/PA")
    years = years_of(cells(frame, "Age"))
    rows = pd.DataFrame(
        {
            "image": inside,
            "patient": names.str.extract(r"(patient\d+)", expand=False),
            "view": beam.where((view == "frontal") & beam.isin(("ap", "pa")), view),
            "sex": known(frame, SEXES, "Sex"),
            "age": bands(years.mask(years == 0)),  # all are adults: 0 stands for unknown
            "file": inside,
        }
    )
    base = None if root is None else _chexpert_folder(root)
    return checked("chexpert", path, rows, frame[list(CHEXPERT)], base)


def _chexpert_folder(root: Path) -> Path:
    names = ("CheXpert-v1.0-small", "CheXpert-v1.0")
    for folder in (root, *(root / name for name in names)):
        if (folder / "train").is_dir() or (folder / "valid").is_dir():
            return folder
    raise UsageError(f"No CheXpert images under {root}: expected {' or '.join(names)} with train/.")
