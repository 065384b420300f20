"""CheXpert: its label tables, and the folders of its images."""

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd

from builder.contract import UsageError, printable
from builder.labels.demographics import (
    SEXES,
    VIEWS,
    age_bands,
    group_words,
    parse_ages,
    text_cells,
    view_notes,
)
from builder.labels.images import no_images, normal_names
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.published import (
    About,
    join_tables,
    keep_images,
    main_table,
    official_files,
    tables_read,
)
from builder.labels.source import Source
from builder.labels.tables import read_csv

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
_DOWNLOADS = ("CheXpert-v1.0-small", "CheXpert-v1.0", "CheXpert")  # the last holds the test set
_BATCHES = "CheXpert-v1.0 batch *"  # the full-size download: one folder for each of its archives
_FOLDERS = ("", *(f"{name}/" for name in (*_DOWNLOADS, "CheXpert-v1.0 batch 1 (validate & csv)")))
_PARTS = {"train": "train", "valid": "val", "val": "val", "test": "test"}  # by their folders
_PART = "(?:" + "|".join(_PARTS) + ")"


def _in_any_folder(*names: str) -> tuple[str, ...]:
    return tuple(f"{folder}{name}" for folder in _FOLDERS for name in names)


ABOUT = About(
    title="CheXpert",
    images=223_414,
    patients=64_540,
    labels=len(CHEXPERT),
    table=_in_any_folder("train.csv"),
    shipped="chexpert_train.csv.gz",
    official=(
        _in_any_folder("valid.csv", "val_labels.csv"),
        _in_any_folder("test_labels.csv", "test.csv"),
    ),
    root="CheXpert-v1.0-small or CheXpert-v1.0, or the folder that holds it or the four batches",
)


def find_chexpert(folder: Path) -> Path | None:
    """The root of CheXpert's images if they are in `folder`: itself or None."""
    return folder if _part_folders(folder) else None


def read_chexpert(source: Source) -> LabelTable:
    """CheXpert's training table, or the copy that torchxrayvision ships.

    For the official split, the tables of its valid and test sets are read as well. The root is one
    of the downloads, or holds them; None for labels alone. Raises UsageError for a table that
    cannot be trusted or is missing, two copies of a patient, or a root without the images.
    """
    parts = {main_table(source, ABOUT): "train" if source.official else ""}
    if source.official:
        parts |= dict(zip(official_files(source, ABOUT), ("val", "test"), strict=True))
    folders = None if source.root is None else _patient_folders(source.root)
    table = join_tables(*(_read(path, source.root, folders, part) for path, part in parts.items()))
    if source.official:
        table = replace(table, notes=(tables_read(*parts), *table.notes))
    if source.root is None:
        return table
    if table.rows["file"].isna().all():
        raise UsageError(no_images(table.rows["image"], source.root, table.path))
    return keep_images(table)


def _read(path: Path, root: Path | None, folders: dict[str, str] | None, split: str) -> LabelTable:
    """One of CheXpert's tables; `folders` are those of its patients, None for labels alone."""
    optional = ("Sex", "Age", "Frontal/Lateral", "AP/PA")
    frame = read_csv(path, ("Path", *CHEXPERT), optional=optional, text=("Path",))
    parts = _split_paths(frame["Path"])
    names = normal_names(parts["inside"], path, "Path")
    view, beam = (group_words(frame, VIEWS, name) for name in ("Frontal/Lateral", "AP/PA"))
    blank = view == ""  # as in the test table, whose files say it
    named = names[blank].str.extract(r"/view\d+_(frontal|lateral)\.[^/]*$", expand=False)
    view[blank] = named.fillna("")
    years = parse_ages(text_cells(frame, "Age"))
    rows = pd.DataFrame(
        {
            "image": names,
            "patient": parts["patient"],
            "view": beam.where((view == "frontal") & beam.isin(("ap", "pa")), view),
            "sex": group_words(frame, SEXES, "Sex"),
            "age": age_bands(years.mask(years == 0)),  # all are adults: 0 stands for unknown
            "file": names if root is None or folders is None else _files(parts, root, folders),
            "split": split,
        }
    )
    return make_label_table(
        dataset="chexpert",
        path=path,
        rows=rows,
        labels=frame[list(CHEXPERT)],
        root=root,
        columns={"image": "Path", "patient": "Path"},
        notes=view_notes(frame, "Frontal/Lateral", "AP/PA"),
    )


def _split_paths(paths: pd.Series) -> pd.DataFrame:
    """The columns part, patient and rest of paths such as train/patient00001/…, and inside.

    What stands before the part is left out. Of a path without a part, inside is what follows the
    folder of the download, and the patient is the last component that looks like one.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = paths.str.replace("\\", "/", regex=False)
    pattern = rf"^(?:.*/)?(?P<part>{_PART})/(?P<patient>patient\d+)/(?P<rest>.*)$"
    found = pc.extract_regex(pa.array(names, pa.string()), pattern)  # ten times as fast as pandas
    parts = pd.DataFrame(
        {
            name: pd.Series(pc.struct_field(found, name).to_pandas(), dtype="str")
            for name in ("part", "patient", "rest")
        }
    ).set_axis(names.index)
    parts["inside"] = parts["part"] + "/" + parts["patient"] + "/" + parts["rest"]
    if (odd := parts["inside"].isna()).any():
        inside = names[odd].str.replace(r"^(?:.*/)?CheXpert-[^/]*/", "", regex=True)
        patient = inside.str.extract(r"^(?:.*/)?(patient\d+)/", expand=False)
        rest = inside.str.extract(r"^patient\d+/(.*)$", expand=False)  # as the batches lie
        part = rest.where(rest.isna(), "train")
        parts[odd] = pd.DataFrame(
            {"part": part, "patient": patient, "rest": rest, "inside": inside}, dtype="str"
        )
    return parts


def _files(parts: pd.DataFrame, root: Path, folders: dict[str, str]) -> pd.Series:
    """The file below `root` of each image, NaN where it is missing.

    To ask for every image would take minutes on a network drive: its patient's folder is enough.
    """
    keys = parts["part"].map(_PARTS) + "/" + parts["patient"]
    elsewhere = parts["inside"][keys.isna()]
    there = pd.Series([(root / str(name)).is_file() for name in elsewhere], elsewhere.index)
    return (keys.map(folders) + "/" + parts["rest"]).fillna(elsewhere.where(there))


def _patient_folders(root: Path) -> dict[str, str]:
    """The folder below `root` of each patient, by part and name such as train/patient00001."""
    found: dict[str, str] = {}
    once = {folder.resolve(): (folder, part) for folder, part in reversed(_part_folders(root))}
    for folder, part in reversed(once.values()):  # a link to a download is no second copy
        with os.scandir(folder) as entries:
            patients = sorted(entry.name for entry in entries if entry.name.startswith("patient"))
        below = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        for name in patients:
            if (other := found.setdefault(f"{part}/{name}", below + name)) != below + name:
                raise UsageError(
                    f"Two folders under {root} are the same patient, {printable(other)} and "
                    f"{printable(below + name)}: point --root at one copy."
                )
    if not found:
        raise UsageError(
            f"No CheXpert images under {root}: expected {_DOWNLOADS[0]} or {_DOWNLOADS[1]} with "
            "train/, or the batches of the full-size download; without images, use --dataset demo, "
            "or --real none for the synthetic half alone."
        )
    return found


def _part_folders(root: Path) -> list[tuple[Path, str]]:
    """The folders that hold patients, each with its part: train, val or test."""
    batches = sorted(folder for folder in root.glob(_BATCHES) if folder.is_dir())
    bases = (root, *(root / name for name in _DOWNLOADS), *batches)
    inner = [(base / name, part) for base in bases for name, part in _PARTS.items()]
    outer = [
        (folder, "val" if "validate" in folder.name else _PARTS.get(folder.name, "train"))
        for folder in (root, *batches)  # the batches of train hold its patients themselves
    ]
    return [(folder, part) for folder, part in inner + outer if any(folder.glob("patient*"))]
