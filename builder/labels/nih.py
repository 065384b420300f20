"""NIH ChestX-ray14: its label table, and its images matched by name."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from builder.contract import UsageError, printable
from builder.labels.cells import cell_message
from builder.labels.demographics import demographics, view_notes
from builder.labels.images import files_by_stem, normal_names, stem
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.pathologies import canonical
from builder.labels.published import About, keep_images, main_table, official_files, tables_read
from builder.labels.source import Source
from builder.labels.tables import read_csv

NIH = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
    "No_Finding",
)

_ZEROS = re.compile(r"^0*(\d+)(?:\.0+)?$")  # 00000001 and 1.0 are patient 1

ABOUT = About(
    title="NIH ChestX-ray14",
    images=112_120,
    patients=30_805,
    labels=len(NIH),
    table=("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv", "sample_labels.csv"),
    shipped="Data_Entry_2017_v2020.csv.gz",
    official=(("train_val_list.txt",), ("test_list.txt",)),
    root="images such as 00000001_000.png, in any subfolder",
)


def read_nih(source: Source) -> LabelTable:
    """NIH's table, or torchxrayvision's copy: all rows, or those with an image.

    The root holds images under the table's names, in any subfolder and format; None for labels
    alone. The official split is that of NIH's two lists. Raises UsageError for a table that cannot
    be trusted or has an unknown finding, two copies of an image, a list that is missing, or a root
    without any image of the table.
    """
    root = source.root
    path = main_table(source, ABOUT)
    names = ("Image Index", "Finding Labels", "Patient ID", "View Position")
    frame = read_csv(path, names, text=("Image Index", "Finding Labels", "Patient ID"))
    image = normal_names(frame["Image Index"], path, "Image Index")
    patient = frame["Patient ID"].str.replace(_ZEROS, r"\1", regex=True)
    rows = pd.DataFrame(
        {
            "image": image,
            "patient": patient,
            **demographics(
                frame,
                view="View Position",
                sex=("Patient Gender", "Patient Sex"),
                age="Patient Age",
            ),
            "file": image if root is None else files_by_stem(image, root, path),
        }
    )
    lists = official_files(source, ABOUT) if source.official else []
    read = [tables_read(path, *lists)] if lists else []
    if lists:
        rows["split"] = _official(image, lists)
    table = make_label_table(
        dataset="nih",
        path=path,
        rows=rows,
        labels=_findings(frame["Finding Labels"], path),
        root=root,
        more=lists,
        columns={"image": "Image Index", "patient": "Patient ID"},
        notes=(*read, *view_notes(frame, "View Position")),
    )
    return table if root is None else keep_images(table)


def _official(images: pd.Series, lists: list[Path]) -> pd.Series:
    """The part of each image by NIH's two lists: train or test; "" for one that is in neither."""
    stems = images.map(stem)
    train, test = (_listed(path, stems) for path in lists)
    if both := sorted(train & test):
        raise UsageError(f"The image {printable(both[0])} is in {lists[0]} and in {lists[1]}.")
    part = np.select([stems.isin(train), stems.isin(test)], ["train", "test"], "")
    return pd.Series(part, index=images.index)


def _listed(path: Path, stems: pd.Series) -> set[str]:
    """The stems of the images that a list names, one a line; UsageError where it knows none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"Cannot read {path}: {why}.") from None
    listed = {stem(line) for line in lines}
    if not stems.isin(listed).any():
        raise UsageError(f"{path} names no image of the label table, as 00000001_000.png.")
    return listed


def _findings(findings: pd.Series, path: Path) -> pd.DataFrame:
    """0/1 columns from NIH's 'Mass|Nodule' words; distinct combinations are few, so parse those."""
    codes, distinct = pd.factorize(findings.fillna(""))
    columns = {canonical(name): i for i, name in enumerate(NIH)}
    matrix = np.zeros((len(distinct), len(NIH)), dtype=np.int8)
    for i, words in enumerate(distinct):
        for word in str(words).split("|"):
            if (name := canonical(word)) not in columns:
                row = int(np.argmax(codes == i))
                why = f"{printable(repr(word))} is not an NIH finding"
                raise UsageError(cell_message(path, row, "Finding Labels", why))
            matrix[i, columns[name]] = 1
    return pd.DataFrame(matrix[codes], columns=list(NIH))
