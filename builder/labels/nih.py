"""NIH ChestX-ray14: its label table, and its images matched by name."""

from pathlib import Path

import numpy as np
import pandas as pd

from builder.contract import UsageError
from builder.labels.csv import read_csv, shipped_table
from builder.labels.demographics import SEXES, VIEWS, bands, cells, known, years_of
from builder.labels.label_table import LabelTable, at, checked
from builder.labels.pathologies import NIH, canonical

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def read_nih(labels: Path | None, root: Path | None) -> LabelTable:
    """The table at `labels`, or torchxrayvision's copy: its rows with an image in `root`.

    UsageError where a finding is unknown, or none of the images is in the table.
    """
    path = labels or shipped_table("Data_Entry_2017_v2020.csv.gz")
    frame = read_csv(path, ("Image Index", "Finding Labels", "Patient ID", "View Position"))
    image = frame["Image Index"].astype(str)
    rows = pd.DataFrame(
        {
            "image": image,
            "patient": frame["Patient ID"].astype("string"),
            "view": known(frame, VIEWS, "View Position"),
            "sex": known(frame, SEXES, "Patient Gender", "Patient Sex"),
            "age": bands(years_of(cells(frame, "Patient Age"))),
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
    return checked("nih", path, rows, _findings(frame["Finding Labels"], path), root)


def _findings(findings: pd.Series, path: Path) -> pd.DataFrame:
    """0/1 columns from NIH's 'Mass|Nodule' words; distinct combinations are few, so parse those."""
    codes, distinct = pd.factorize(findings.fillna(""))
    place = {canonical(name): i for i, name in enumerate(NIH)}
    matrix = np.zeros((len(distinct), len(NIH)), dtype=np.int8)
    for i, words in enumerate(distinct):
        for word in str(words).split("|"):
            if (name := canonical(word)) not in place:
                row = int(np.argmax(codes == i))
                raise UsageError(at(path, row, "Finding Labels", f"{word!r} is no NIH finding"))
            matrix[i, place[name]] = 1
    return pd.DataFrame(matrix[codes], columns=list(NIH))


def _images_by_stem(root: Path) -> dict[str, str]:
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
