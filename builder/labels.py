"""Real label tables: CheXpert, NIH ChestX-ray14, any CSV, and the embedded demo → LabelTable."""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder.contract import GROUPS, Labels, UsageError, check_pathologies, sha256_file
from builder.groups import FRONTAL, SEXES, VIEWS, bands, cells, known, years_of

NO_FINDING = "no finding"

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
_SYNONYMS = {"effusion": "pleural effusion", "fractures": "fracture", "normal": NO_FINDING}
_NOT_LABELS = ("image", "patient", *GROUPS)
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """One row per real image: N rows, L pathologies in the table's order."""

    dataset: str
    # str columns: image (name in the table), patient, file (below root); and view, sex, age: the
    # words of GROUPS, "" if unknown
    rows: pd.DataFrame
    labels: Labels  # int8 [N, L]: 1, 0 or -1 = unknown, after the uncertainty policy
    pathologies: tuple[str, ...]
    sha256: str  # of the table's file
    salt: bytes  # from the table's content too, but not to be had from `sha256`
    root: Path | None  # where the images lie; None: no images (the demo, or labels alone)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)


def canonical(name: str) -> str:
    """The one spelling under which CheXpert's, NIH's and other names of a pathology meet."""
    plain = " ".join(name.lower().replace("_", " ").split())
    return _SYNONYMS.get(plain, plain)


def find_pathology(name: str, pathologies: Sequence[str]) -> str | None:
    """The member of `pathologies` that `name` means, synonyms included; None if there is none."""
    return next((p for p in pathologies if canonical(p) == canonical(name)), None)


def read_labels(
    dataset: str,
    *,
    labels: Path | None = None,
    root: Path | None = None,
    uncertain: str = "ones",
    views: str = "all",
) -> LabelTable:
    """The label table of a dataset after the uncertainty policy and the choice of views.

    `uncertain`: -1 becomes 1 ("ones": U-Ones, the paper's), 0 ("zeros") or stays -1 ("mask").
    Raises UsageError with row and column for a table that cannot be trusted.
    """
    if root is not None and not root.is_dir():
        raise UsageError(f"The image folder {root} does not exist: check --root.")
    readers = {"chexpert": _chexpert, "nih": _nih, "table": _table, "demo": _demo}
    table = readers[dataset](labels, root)
    check_pathologies(table.pathologies)
    if len({canonical(name) for name in table.pathologies}) < len(table.pathologies):
        raise UsageError(f"Two label columns name the same pathology: {list(table.pathologies)}.")
    if uncertain != "mask":
        known = np.where(table.labels < 0, np.int8(uncertain == "ones"), table.labels)
        table = replace(table, labels=known)
    return _frontal(table) if views == "frontal" else table


def _frontal(table: LabelTable) -> LabelTable:
    keep = table.rows["view"].isin(FRONTAL).to_numpy()
    if not keep.any():
        raise UsageError("--views frontal leaves no row: the table names no frontal view.")
    return replace(table, rows=table.rows[keep].reset_index(drop=True), labels=table.labels[keep])


# --- the datasets --------------------------------------------------------------------------------


def _chexpert(labels: Path | None, root: Path | None) -> LabelTable:
    path = labels or shipped_table("chexpert_train.csv.gz")
    frame = _read_csv(path, ("Path", "Frontal/Lateral", *CHEXPERT))
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
    return _checked("chexpert", path, rows, frame[list(CHEXPERT)], base)


def _chexpert_folder(root: Path) -> Path:
    names = ("CheXpert-v1.0-small", "CheXpert-v1.0")
    for folder in (root, *(root / name for name in names)):
        if (folder / "train").is_dir() or (folder / "valid").is_dir():
            return folder
    raise UsageError(f"No CheXpert images under {root}: expected {' or '.join(names)} with train/.")


def _nih(labels: Path | None, root: Path | None) -> LabelTable:
    path = labels or shipped_table("Data_Entry_2017_v2020.csv.gz")
    frame = _read_csv(path, ("Image Index", "Finding Labels", "Patient ID", "View Position"))
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
    return _checked("nih", path, rows, _findings(frame["Finding Labels"], path), root)


def _findings(findings: pd.Series, path: Path) -> pd.DataFrame:
    """0/1 columns from NIH's 'Mass|Nodule' words; distinct combinations are few, so parse those."""
    codes, distinct = pd.factorize(findings.fillna(""))
    place = {canonical(name): i for i, name in enumerate(NIH)}
    matrix = np.zeros((len(distinct), len(NIH)), dtype=np.int8)
    for i, words in enumerate(distinct):
        for word in str(words).split("|"):
            if (name := canonical(word)) not in place:
                row = int(np.argmax(codes == i))
                raise UsageError(_at(path, row, "Finding Labels", f"{word!r} is no NIH finding"))
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


def _table(labels: Path | None, root: Path | None) -> LabelTable:
    if labels is None:
        raise UsageError("--dataset table needs the CSV: add --labels FILE.csv.")
    frame = _read_csv(labels, ("image", "patient"))
    findings = [name for name in frame.columns if name not in _NOT_LABELS]
    if not findings:
        raise UsageError(f"{labels} has no label column beside {', '.join(frame.columns)}.")
    image = frame["image"].astype("string")
    outside = image.str.match(r"/|.*\.\.(/|$)", na=False)
    _refuse(outside, labels, "image", "leads out of the image folder", frame)
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
        _refuse(strange, labels, "view", "is no view: expected PA, AP, frontal or lateral", frame)
    folder = root if root is not None else labels.absolute().parent
    return _checked("table", labels, rows, frame[findings], folder)


def _demo(labels: Path | None, root: Path | None) -> LabelTable:
    if labels is not None or root is not None:
        raise UsageError("--dataset demo brings its own labels and images: drop --labels, --root.")
    return replace(_chexpert(None, None), dataset="demo")


# --- reading and checking ------------------------------------------------------------------------


def shipped_table(name: str) -> Path:
    """The path of a label table inside torchxrayvision, found without importing it."""
    spec = importlib.util.find_spec("torchxrayvision")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (path := Path(folder) / "data" / name).is_file():
            return path
    raise UsageError(f"torchxrayvision's {name} is not installed: give the table by --labels FILE.")


def _read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The CSV with at least `columns`; only the empty cell counts as blank."""
    import pyarrow.compute as pc
    from pyarrow import csv, string, types

    words = dict.fromkeys(("image", "patient", "Path", "Image Index", "Patient ID"), string())
    blanks = csv.ConvertOptions(column_types=words, null_values=[""], strings_can_be_null=True)
    try:
        if not path.stat().st_size:
            raise UsageError(f"{path} is empty.")
        table = csv.read_csv(path, convert_options=blanks)  # refuses short and long rows
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"Cannot read the label table {path}: {why}.") from None
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{path} is not a readable CSV: {reason}.") from None
    if len({*table.column_names}) < len(table.column_names):
        raise UsageError(f"{path} has two columns of one name: {', '.join(table.column_names)}.")
    for name, column in zip(table.column_names, table.columns, strict=True):
        if (
            types.is_floating(column.type)
            and (row := pc.index(pc.is_nan(column), True).as_py()) >= 0
        ):
            raise UsageError(_at(path, row, name, "'NaN' is no number; leave unknown cells blank"))
    frame: pd.DataFrame = table.to_pandas(
        types_mapper=_words, split_blocks=True, self_destruct=True
    )
    if missing := [name for name in columns if name not in frame.columns]:
        raise UsageError(
            f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, frame.columns))}."
        )
    if frame.empty:
        raise UsageError(f"{path} has a header but no row.")
    return frame


def _salt(path: Path) -> bytes:
    """32 bytes from the table's content."""
    digest = hashlib.blake2b(digest_size=32, person=b"patient salt")
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def _words(kind: Any) -> Any:
    """Text as pandas' str, true and false as text too: they are no labels."""
    return pd.StringDtype(na_value=np.nan) if str(kind) in ("string", "bool") else None


def _checked(
    dataset: str, path: Path, rows: pd.DataFrame, labels: pd.DataFrame, root: Path | None
) -> LabelTable:
    """The table once every cell is known to be good; blank labels become 0 (not mentioned)."""
    _refuse(rows["image"].isna(), path, "image", "is blank", rows)
    stripped = rows["patient"].str.strip()
    rows["patient"] = stripped.mask(stripped == "")
    _refuse(rows["patient"].isna(), path, "patient", "is blank or not recognised", rows)
    _refuse(rows["image"].duplicated(), path, "image", "stands twice in the table", rows)
    matrix = np.empty(labels.shape, dtype=np.int8)
    for column, name in enumerate(labels.columns):
        cells = labels[name]
        known = pd.to_numeric(cells, errors="coerce").where(cells.notna(), 0)
        hint = "is not 1, 0, -1 or blank (drop columns that are not labels)"
        _refuse(~known.isin((-1, 0, 1)), path, str(name), hint, labels)
        matrix[:, column] = known
    return LabelTable(
        dataset=dataset,
        rows=rows,
        labels=matrix,
        pathologies=tuple(str(name) for name in labels.columns),
        sha256=sha256_file(path),
        salt=_salt(path),
        root=root,
    )


def _refuse(bad: pd.Series, path: Path, column: str, why: str, values: pd.DataFrame) -> None:
    if bad.any():
        row = int(np.argmax(bad.to_numpy(dtype=bool)))
        cell = values[column].iloc[row]
        found = "the cell" if pd.isna(cell) else repr(cell) if isinstance(cell, str) else cell
        raise UsageError(_at(path, row, column, f"{found} {why}"))


def _at(path: Path, row: int, column: str, what: str) -> str:
    return f"{path}, row {row + 1} below the header, column {column!r}: {what}."
