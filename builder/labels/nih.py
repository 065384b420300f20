"""NIH ChestX-ray14: its label table, and its images matched by name."""

from pathlib import Path

import numpy as np
import pandas as pd

from builder.contract import UsageError
from builder.labels.cells import cell_message
from builder.labels.demographics import (
    SEXES,
    VIEWS,
    age_bands,
    group_words,
    parse_ages,
    text_cells,
)
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.pathologies import canonical
from builder.labels.source import Source
from builder.labels.tables import read_csv, shipped_table

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
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def read_nih(source: Source) -> LabelTable:
    """NIH's table, or torchxrayvision's copy: all rows, or those with an image.

    The root holds images under the table's names, in any subfolder and as PNG or JPEG; None for
    labels alone. Raises UsageError for a table that cannot be trusted or has an unknown finding,
    two copies of an image, or a root without any image of the table.
    """
    root = source.root
    path = source.labels or shipped_table("Data_Entry_2017_v2020.csv.gz")
    frame = read_csv(
        path,
        ("Image Index", "Finding Labels", "Patient ID", "View Position"),
        text=("Image Index", "Patient ID"),
    )
    image = frame["Image Index"].astype(str)
    rows = pd.DataFrame(
        {
            "image": image,
            "patient": frame["Patient ID"].astype("string"),
            "view": group_words(frame, VIEWS, "View Position"),
            "sex": group_words(frame, SEXES, "Patient Gender", "Patient Sex"),
            "age": age_bands(parse_ages(text_cells(frame, "Patient Age"))),
            "file": image,
        }
    )
    if root is not None:
        files = _images_by_stem(root)
        rows["file"] = image.str.rsplit(".", n=1).str[0].map(files)
        keep = rows["file"].notna().to_numpy()
        if not keep.any():
            raise UsageError(
                f"None of the {len(files)} images under {root} is named in the NIH table: "
                "names must be like 00000001_000.png."
            )
        frame, rows = frame[keep].reset_index(drop=True), rows[keep].reset_index(drop=True)
    findings = _findings(frame["Finding Labels"], path)
    return make_label_table(dataset="nih", path=path, rows=rows, labels=findings, root=root)


def _findings(findings: pd.Series, path: Path) -> pd.DataFrame:
    """0/1 columns from NIH's 'Mass|Nodule' words; distinct combinations are few, so parse those."""
    codes, distinct = pd.factorize(findings.fillna(""))
    columns = {canonical(name): i for i, name in enumerate(NIH)}
    matrix = np.zeros((len(distinct), len(NIH)), dtype=np.int8)
    for i, words in enumerate(distinct):
        for word in str(words).split("|"):
            if (name := canonical(word)) not in columns:
                row = int(np.argmax(codes == i))
                why = f"{word!r} is not an NIH finding"
                raise UsageError(cell_message(path, row, "Finding Labels", why))
            matrix[i, columns[name]] = 1
    return pd.DataFrame(matrix[codes], columns=list(NIH))


def _images_by_stem(root: Path) -> dict[str, str]:
    """The path below `root` of each image, by its file name without suffix."""
    files: dict[str, str] = {}
    for file in sorted(root.rglob("*")):
        if file.suffix.lower() in _IMAGE_SUFFIXES:
            name = file.relative_to(root).as_posix()
            if (other := files.setdefault(file.stem, name)) != name:
                raise UsageError(
                    f"Two files under {root} are the same image, {other} and {name}: "
                    "point --root at one copy."
                )
    return files
