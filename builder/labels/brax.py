"""BRAX: its spreadsheet, with CheXpert's labels, and its PNG or DICOM images."""

from pathlib import Path

import pandas as pd

from builder.contract import UsageError
from builder.labels.chexpert import CHEXPERT
from builder.labels.demographics import demographics, view_notes
from builder.labels.images import files_by_path, normal_names
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.published import About, keep_images, main_table, refuse_official
from builder.labels.source import Source
from builder.labels.tables import missing_column, read_csv

_PATHS = ("PngPath", "DicomPath")  # columns; the first of which images lie under the root counts

ABOUT = About(
    title="BRAX",
    images=40_967,
    patients=19_351,
    labels=len(CHEXPERT),
    table=("master_spreadsheet_update.csv", "master_spreadsheet.csv"),
    root="the folder that holds images/ (PNG) or Anonymized_DICOMs/, or one of these",
)


def read_brax(source: Source) -> LabelTable:
    """BRAX's spreadsheet: all rows, or those with an image.

    Raises UsageError for a table that is missing or cannot be trusted, a root without the images,
    or if the official split is wanted, which BRAX lacks.
    """
    refuse_official(source, ABOUT)
    path = main_table(source, ABOUT)
    demography = ("ViewPosition", "PatientSex", "PatientAge")
    text = (*_PATHS, "PatientID")
    frame = read_csv(path, ("PatientID", *CHEXPERT), optional=demography, text=text)
    paths = [name for name in _PATHS if name in frame]
    if not paths:
        raise UsageError(missing_column(path, _PATHS[0], frame.columns))
    root, column = _images(frame, paths, source.root)
    image = normal_names(frame[column], path, column)
    table = make_label_table(
        dataset="brax",
        path=path,
        rows=pd.DataFrame(
            {
                "image": image,
                "patient": frame["PatientID"],
                **demographics(frame, view="ViewPosition", sex=("PatientSex",), age="PatientAge"),
                "file": image if root is None else files_by_path(image, root, path),
            }
        ),
        labels=frame[list(CHEXPERT)],
        root=root,
        columns={"image": column, "patient": "PatientID"},
        notes=view_notes(frame, "ViewPosition"),
    )
    return table if root is None else keep_images(table)


def _images(frame: pd.DataFrame, columns: list[str], root: Path | None) -> tuple[Path | None, str]:
    """The folder from which the paths of one of the columns start, and that column."""
    if root is None:
        return None, columns[0]
    for column in columns:
        first = str(frame[column].iloc[0]).replace("\\", "/").split("/")[0]  # images
        for folder in (root, root.absolute().parent):
            if (folder / first).is_dir():
                return folder, column
    return root, columns[0]
