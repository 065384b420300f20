"""VinDr-CXR: what several readers saw on each image, as PhysioNet or Kaggle publishes it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from builder.contract import Labels, UsageError
from builder.labels.cells import refuse_cells
from builder.labels.images import files_by_stem
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.published import (
    IMAGE_IS_PATIENT,
    About,
    find_table,
    join_tables,
    keep_images,
    main_table,
    official_files,
    refuse_labels,
    tables_read,
)
from builder.labels.source import Readers, Source
from builder.labels.tables import missing_column, read_csv

_BOXED = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD"),
    *("Infiltration", "Lung Opacity", "Nodule/Mass", "Other lesion", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "No finding"),
)  # Kaggle's classes
VINDR = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
    *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity"),
    *("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion"),
    *("COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", "No finding"),
)  # PhysioNet's columns
_TRAIN = ("image_labels_train.csv", "annotations/image_labels_train.csv")
_TEST = ("image_labels_test.csv", "annotations/image_labels_test.csv")

ABOUT = About(
    title="VinDr-CXR",
    images=15_000,
    patients=None,
    labels=len(_BOXED),
    table=(*_TRAIN, "train.csv"),
    shipped="vinbigdata-train.csv.gz",
    official=(_TRAIN, _TEST),
    root="train/ and test/ with the DICOM files, or the images as PNG or JPEG",
)


def read_vindr(source: Source) -> LabelTable:
    """VinDr-CXR's training images, by PhysioNet's table, or Kaggle's as torchxrayvision ships it.

    PhysioNet's tables have one column per finding, Kaggle's one row per box. A finding is what the
    majority of an image's readers saw, or any or all of them, as the options say; under `any`, an
    image has no finding if all say so. The official split adds PhysioNet's test images. Raises
    UsageError for a table that cannot be trusted or is missing.
    """
    given = source.labels is not None and not source.labels.is_dir()
    if not source.official:
        physionet = None if given else find_table(source, *_TRAIN)
        paths = {physionet or main_table(source, ABOUT): ""}
    else:
        files = official_files(source, ABOUT, first=1 if given else 0)
        train, test = ([main_table(source, ABOUT)] if given else []) + files
        paths = {train: "train", test: "test"}
    table = join_tables(*(_read(path, source, part) for path, part in paths.items()))
    table = replace(table, notes=(tables_read(*paths), *table.notes))
    return table if source.root is None else keep_images(table)


def _read(path: Path, source: Source, split: str) -> LabelTable:
    """One of the tables: a row for each image, in the order in which the table names them."""
    words = ("image_id", "rad_id", "class_name")
    frame = read_csv(path, ("image_id",), optional=(*VINDR, "Other disease"), text=words)
    frame = frame.rename(columns={"Other disease": "Other diseases"})  # as the test table has it
    for name in {"image_id", "rad_id"}.intersection(frame.columns):
        refuse_cells(frame[name].isna(), path, name, "is blank", frame[name])
    names = _BOXED if "class_name" in frame else VINDR
    seen = _boxed(frame["class_name"], path) if names is _BOXED else _columns(frame, path)
    images = frame["image_id"].drop_duplicates()
    rows = pd.DataFrame(
        {
            "image": images,
            "patient": images,
            "view": "pa",  # every image, says the publication
            "file": images,
            "split": split,
        }
    )
    if source.root is not None:
        rows["file"] = files_by_stem(images, source.root, path)
    return make_label_table(
        dataset="vindr",
        path=path,
        rows=rows,
        labels=pd.DataFrame(_agreed(frame, seen, source.options.readers), columns=list(names)),
        root=source.root,
        columns={"image": "image_id", "patient": "image_id"},
        notes=(IMAGE_IS_PATIENT.format(ABOUT.title),),
    )


def _boxed(classes: pd.Series, path: Path) -> Labels:
    """0/1 [N, L] from the class of each row."""
    columns = classes.map({name: i for i, name in enumerate(_BOXED)})
    why = "is no class of Kaggle's table; for all findings, give image_labels_train.csv"
    refuse_cells(columns.isna(), path, "class_name", why, classes)
    seen = np.zeros((len(classes), len(_BOXED)), dtype=np.int8)
    seen[np.arange(len(classes)), columns.astype("int64")] = 1
    return seen


def _columns(frame: pd.DataFrame, path: Path) -> Labels:
    """0/1 [N, L] from one column per finding."""
    if missing := [name for name in VINDR if name not in frame]:
        raise UsageError(missing_column(path, missing[0], frame.columns))
    refuse_labels(frame[list(VINDR)], path, allowed=(0, 1))
    return frame[list(VINDR)].fillna(0).to_numpy(dtype=np.int8)


def _agreed(frame: pd.DataFrame, seen: Labels, readers: Readers) -> Labels:
    """0/1 [images, L]: what enough readers of each image saw in any of their rows.

    Under `any`, No finding (the last column) takes all readers, so that it excludes findings.
    """
    image, images = pd.factorize(frame["image_id"])
    reader = pd.factorize(frame["rad_id"])[0] if "rad_id" in frame else np.zeros_like(image)
    pair, pairs = pd.factorize(image * (reader.max() + 1) + reader)
    by_pair = np.zeros((len(pairs), seen.shape[1]), dtype=np.int8)
    np.maximum.at(by_pair, pair, seen)
    image_of = pairs // (reader.max() + 1)
    votes = np.zeros((len(images), seen.shape[1]), dtype=np.int64)
    np.add.at(votes, image_of, by_pair)
    asked = np.bincount(image_of)[:, None]
    need = {"any": np.ones_like(asked), "majority": asked // 2 + 1, "all": asked}[readers]
    agreed = votes >= need
    agreed[:, -1] = votes[:, -1] >= (asked if readers == "any" else need)[:, 0]
    return agreed.astype(np.int8)
