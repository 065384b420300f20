"""CheXpert: its label table, and the folder of its images."""

from pathlib import Path

import pandas as pd

from builder.contract import UsageError
from builder.labels.csv import read_csv, shipped_table
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

CHEXPERT = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
_FOLDERS = ("CheXpert-v1.0-small", "CheXpert-v1.0")  # as the two downloads are called


def read_chexpert(source: Source) -> LabelTable:
    """CheXpert's table, or the copy that torchxrayvision ships.

    The root holds the images: it is one of the downloads, or has one in it; None for labels alone.
    Raises UsageError for a table that cannot be trusted, or a root without the images.
    """
    path = source.labels or shipped_table("chexpert_train.csv.gz")
    frame = read_csv(path, ("Path", "Frontal/Lateral", *CHEXPERT))
    names = frame["Path"].astype(str)
    inside = names.str.replace(r"^CheXpert-[^/]*/", "", regex=True)
    view, beam = (group_words(frame, VIEWS, name) for name in ("Frontal/Lateral", "AP/PA"))
    years = parse_ages(text_cells(frame, "Age"))
    rows = pd.DataFrame(
        {
            "image": inside,
            "patient": names.str.extract(r"(patient\d+)", expand=False),
            "view": beam.where((view == "frontal") & beam.isin(("ap", "pa")), view),
            "sex": group_words(frame, SEXES, "Sex"),
            "age": age_bands(years.mask(years == 0)),  # all are adults: 0 stands for unknown
            "file": inside,
        }
    )
    return make_label_table(
        dataset="chexpert",
        path=path,
        rows=rows,
        labels=frame[list(CHEXPERT)],
        root=None if source.root is None else _image_folder(source.root),
    )


def _image_folder(root: Path) -> Path:
    """The folder that the table's paths start from."""
    for folder in (root, *(root / name for name in _FOLDERS)):
        if (folder / "train").is_dir() or (folder / "valid").is_dir():
            return folder
    raise UsageError(
        f"No CheXpert images under {root}: expected {' or '.join(_FOLDERS)} with train/."
    )
