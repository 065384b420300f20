"""MIMIC-CXR-JPG: labels by study, joined to the images of the studies."""

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from builder.contract import UsageError
from builder.contract.folder import SUFFIXES
from builder.labels.cells import refuse_cells
from builder.labels.chexpert import CHEXPERT
from builder.labels.demographics import VIEWS, group_words, view_notes
from builder.labels.images import no_images, normal_names
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.published import (
    About,
    keep_images,
    keep_rows,
    needed_table,
    official_files,
    refuse_labels,
    tables_read,
)
from builder.labels.source import Source
from builder.labels.splits import split_words
from builder.labels.tables import read_csv

_NAME = "mimic-cxr-2.0.0-"
_METADATA, _SPLIT = f"{_NAME}metadata.csv", f"{_NAME}split.csv"
_LABELS = (f"{_NAME}chexpert.csv", f"{_NAME}negbio.csv")
_TRIED = 1000  # rows that are asked for the suffix of the images

ABOUT = About(
    title="MIMIC-CXR-JPG",
    images=377_110,
    patients=65_379,
    labels=len(CHEXPERT),
    table=(_METADATA,),
    more=(_LABELS,),
    official=((_SPLIT,),),
    root="the folder that holds files/p10/p10000032/s50414267/DICOM.jpg, or files/ itself",
)


def read_mimic(source: Source) -> LabelTable:
    """The images of MIMIC-CXR-JPG's metadata, each with the labels of its study.

    --labels names the folder of the tables, or one of them: negbio's if its labels are wanted
    instead of CheXpert's. Images whose study has no labels, or that are not there, are left out.
    Raises UsageError for a table that is missing or cannot be trusted, or a root without images.
    """
    metadata, by_study = needed_table(source, ABOUT, ABOUT.table), _label_table(source)
    names = ("dicom_id", "subject_id", "study_id", "ViewPosition")
    frame = read_csv(metadata, names, text=names[:3])
    for name in names[:3]:
        refuse_cells(frame[name].isna(), metadata, name, "is blank", frame[name])
    rows = pd.DataFrame(
        {
            "image": frame["dicom_id"],
            "patient": frame["subject_id"],
            "view": group_words(frame, VIEWS, "ViewPosition"),
            "file": _files(frame, source.root, metadata),
        }
    )
    more = [by_study, *(official_files(source, ABOUT) if source.official else [])]
    if source.official:
        rows["split"] = _parts(frame["dicom_id"], more[-1])
    labels, known = _labels(frame, by_study)
    table = make_label_table(
        dataset="mimic",
        path=metadata,
        rows=rows,
        labels=labels,
        root=source.root,
        more=more,
        columns={"image": "dicom_id", "patient": "subject_id"},
        notes=(tables_read(metadata, *more), *view_notes(frame, "ViewPosition")),
    )
    note = (
        f"{int((~known).sum()):,} of {len(known):,} images are left out: their studies have no row "
        f"in {by_study.name}."
    )
    table = keep_rows(table, known, note)
    return table if source.root is None else keep_images(table)


def _label_table(source: Source) -> Path:
    """The table of labels by study: the one that --labels names, else CheXpert's or negbio's."""
    given = source.labels
    if given is None or given.is_dir() or given.name.startswith((_METADATA, _SPLIT)):
        return needed_table(source, ABOUT, _LABELS)
    return given


def _labels(images: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, "pd.Series[bool]"]:
    """The labels of the images, by their studies, and which images have any: only those count."""
    frame = read_csv(path, ("study_id", *CHEXPERT), text=("study_id", "subject_id"))
    again = frame["study_id"].duplicated()
    refuse_cells(again, path, "study_id", "appears twice in the table", frame["study_id"])
    refuse_labels(frame[list(CHEXPERT)], path, allowed=(1, 0, -1))
    row = pd.Index(frame["study_id"]).get_indexer(pd.Index(images["study_id"]))  # -1: none
    labels = frame[list(CHEXPERT)].take(np.maximum(row, 0)).set_axis(images.index)
    return labels, pd.Series(row >= 0, images.index)


def _parts(images: pd.Series, path: Path) -> pd.Series:
    """The official part of each image; "" for one that the table lacks."""
    frame = read_csv(path, ("dicom_id", "split"), text=("dicom_id", "split"))
    part = split_words(frame["split"])
    refuse_cells(part == "", path, "split", "is not train, validate or test", frame["split"])
    again = frame["dicom_id"].duplicated()
    refuse_cells(again, path, "dicom_id", "appears twice in the table", frame["dicom_id"])
    return images.map(pd.Series(part.to_numpy(), index=frame["dicom_id"])).fillna("")


def _files(frame: pd.DataFrame, root: Path | None, path: Path) -> pd.Series:
    """The file below `root` of each image, NaN where it is missing.

    To ask for every image would take minutes on a network drive: its patient's folder is enough.
    """
    patient = "p" + frame["subject_id"]
    folder = patient.str[:3] + "/" + patient
    study = folder + "/s" + frame["study_id"]
    if root is None:
        return "files/" + study + "/" + frame["dicom_id"] + ".jpg"
    below = "files/" if (root / "files").is_dir() else ""
    found = {
        f"{group}/{entry.name}"
        for group in patient.str[:3].unique()
        if (root / below / group).is_dir()
        for entry in os.scandir(root / below / group)
    }
    there = folder.isin(found)
    if not there.any():
        raise UsageError(no_images(below + study + "/" + frame["dicom_id"] + ".jpg", root, path))
    suffix = _suffix(root / below, (study + "/" + frame["dicom_id"])[there])
    files = below + study + "/" + frame["dicom_id"] + suffix
    return normal_names(files, path, "dicom_id").where(there)


def _suffix(base: Path, names: pd.Series) -> str:
    """The suffix of the images; that of the publication where none of the first ones exists."""
    for name in islice(names, _TRIED):
        for suffix in (".jpg", *SUFFIXES):
            if (base / f"{name}{suffix}").is_file():
                return suffix
    return ".jpg"
