"""RSNA Pneumonia Detection Challenge: boxes and classes of Kaggle's second stage."""

from pathlib import Path

import pandas as pd

from builder.contract import UsageError
from builder.labels.cells import numbers, refuse_cells, shown
from builder.labels.demographics import demographics
from builder.labels.images import files_by_stem
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.published import (
    IMAGE_IS_PATIENT,
    About,
    find_table,
    keep_images,
    main_table,
    refuse_official,
    tables_read,
)
from builder.labels.source import Source
from builder.labels.tables import read_csv, shipped_table

_CLASSES = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
_HEADERS = "kaggle_stage_2_train_images_dicom_headers.csv.gz"  # view, sex and age of each image

ABOUT = About(
    title="RSNA Pneumonia Detection Challenge",
    images=26_684,
    patients=None,
    labels=3,
    table=("stage_2_train_labels.csv",),
    shipped="kaggle_stage_2_train_labels.csv.zip",
    more=(("stage_2_detailed_class_info.csv",),),
    root="stage_2_train_images/ with the DICOM files, or the images as PNG or JPEG",
)


def read_rsna(source: Source) -> LabelTable:
    """Kaggle's table, or torchxrayvision's copy: all images, or those at hand.

    Lung Opacity and Pneumonia are both the column Target, as in torchxrayvision: an opacity that
    may be pneumonia. No Finding is the class Normal, where the table of classes is beside the
    first, else it is no label. Raises UsageError for a table that cannot be trusted, or if the
    official split is wanted: Kaggle never published the labels of its test images.
    """
    refuse_official(source, ABOUT)
    path = main_table(source, ABOUT)
    boxes = read_csv(path, ("patientId", "Target"), text=("patientId",))
    target = numbers(boxes["Target"])
    refuse_cells(~target.isin((0, 1)), path, "Target", "is neither 1 nor 0", boxes["Target"])
    other = target != target.groupby(boxes["patientId"]).transform("first")
    refuse_cells(other, path, "Target", "contradicts an earlier row of this image", boxes["Target"])
    images = boxes["patientId"].drop_duplicates()
    opacity = target[images.index]
    labels = pd.DataFrame({"Lung Opacity": opacity, "Pneumonia": opacity})
    classes = find_table(source, *ABOUT.more[0])
    if classes is not None:
        labels["No Finding"] = (_classes(classes, images) == "Normal").astype("int8")
    headers = shipped_table(_HEADERS)
    more = (headers,) if classes is None else (headers, classes)
    table = make_label_table(
        dataset="rsna",
        path=path,
        rows=_rows(images, headers, source.root, path),
        labels=labels,
        root=source.root,
        more=more,
        columns={"image": "patientId", "patient": "patientId"},
        notes=(tables_read(path, *more), IMAGE_IS_PATIENT.format(ABOUT.title)),
    )
    return table if source.root is None else keep_images(table)


def _rows(images: pd.Series, headers: Path, root: Path | None, path: Path) -> pd.DataFrame:
    """The rows of the label table; view, sex and age are those of the images' DICOM headers."""
    about = read_csv(headers, ("PatientID",), text=("PatientID",)).set_index("PatientID")
    about = about.reindex(images).set_axis(images.index)
    return pd.DataFrame(
        {
            "image": images,
            "patient": images,
            **demographics(about, view="ViewPosition", sex=("PatientSex",), age="PatientAge"),
            "file": images if root is None else files_by_stem(images, root, path),
        }
    )


def _classes(path: Path, images: pd.Series) -> pd.Series:
    """The class of each image; UsageError for an unknown one, two of one image, or none."""
    frame = read_csv(path, ("patientId", "class"), text=("patientId", "class"))
    unknown = ~frame["class"].isin(_CLASSES)
    refuse_cells(unknown, path, "class", f"is none of {', '.join(_CLASSES)}", frame["class"])
    frame = frame.drop_duplicates()
    again = frame["patientId"].duplicated()
    refuse_cells(again, path, "patientId", "has a second class", frame["patientId"])
    found = images.map(frame.set_index("patientId")["class"])
    if found.isna().any():
        raise UsageError(f"{path} has no class for {shown(images[found.isna()].iloc[0])}.")
    return found
