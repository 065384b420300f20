"""Any table with one row per image: the user's own labels."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from builder.contract import GROUPS, UsageError, in_short, printable
from builder.labels.cells import refuse_cells
from builder.labels.demographics import demographics, sex_and_age_notes, view_notes
from builder.labels.dialect import plain
from builder.labels.images import check_first_files, files_by_stem, normal_names
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.patients import patients_of
from builder.labels.source import Source, TableOptions
from builder.labels.splits import split_words
from builder.labels.tables import missing_column, read_csv

_NOT_LABELS = ("image", "patient", "split", *GROUPS)
_SHOWN = 30  # names of labels in a note
_PUBLISHED = {  # datasets whose tables have these columns, which no other table has
    "chexpert": {"Path", "Frontal/Lateral"},
    "nih": {"Image Index", "Finding Labels"},
    "mimic": {"subject_id", "study_id"},
    "padchest": {"ImageID", "Projection"},
    "vindr": {"image_id", "rad_id"},
    "brax": {"PatientID", "PngPath"},
    "rsna": {"patientId", "Target"},
}


def read_table(source: Source) -> LabelTable:
    """The user's table: columns image and patient, optional view, split, sex and age, then labels.

    The source's options name other columns for these, choose the labels, or take the patient from
    the image's path. The images' paths are relative to the root, or to the table's own folder
    where that is None. Raises UsageError for a missing or untrusted table, or images that do not
    lie under a root.
    """
    path, options = source.labels, source.options
    if path is None:
        raise UsageError("--dataset table needs the table: add --labels FILE.csv.")
    columns = _columns(options)
    text = tuple(columns.values())
    frame = read_csv(path, (), optional=("sex", "age"), text=text)
    _check_columns(path, frame, columns, options)
    findings, notes = _findings(path, frame, columns, options)
    image = normal_names(frame[columns["image"]], path, columns["image"])
    patient, more = _patients(path, frame, image, columns, options)
    root = source.root or path.absolute().parent
    file = image
    if options.match == "stem":
        file = files_by_stem(image, root, path).fillna(image)  # that it is missing is told later
    elif source.root is not None:
        check_first_files(image, root, path)
    split = _split(path, frame, columns["split"], source)
    if not source.official and (split != "").any():
        unused = f"The column {printable(columns['split'])!r} is not used: patients are divided "
        more = (*more, f"{unused}anew; --split official keeps its parts.")
    rows = pd.DataFrame(
        {
            "image": image,
            "patient": patient,
            **demographics(frame, view=columns["view"], sex=("sex",), age="age"),
            "file": file,
            "split": split,
        }
    )
    return make_label_table(
        dataset="table",
        path=path,
        rows=rows,
        labels=frame[findings],
        root=root,
        columns=columns,
        notes=(*notes, *more, *view_notes(frame, columns["view"]), *sex_and_age_notes(frame)),
    )


def _columns(options: TableOptions) -> dict[str, str]:
    """The column of each role; UsageError where two of them, or a label, are one column."""
    chosen = {
        "image": options.image_column,
        "patient": options.patient_column,
        "view": options.view_column,
        "split": options.split_column,
    }
    columns = {role: name or role for role, name in chosen.items()}
    needed = ("image",) if options.patient_pattern else ("image", "patient")
    said = [
        (f"--{role}-column", columns[role]) for role in chosen if chosen[role] or role in needed
    ]
    seen: dict[str, str] = {}
    for option, name in (*said, *(("--label-column", name) for name in options.label_columns)):
        if (other := seen.get(plain(name))) is not None:
            both = option if option == other else f"{other} and {option}"
            raise UsageError(f"One column has two uses: {printable(name)!r} is named by {both}.")
        seen[plain(name)] = option
    return columns


def _check_columns(
    path: Path, frame: pd.DataFrame, columns: dict[str, str], options: TableOptions
) -> None:
    """Raise UsageError for the first column that was named, or is needed, and is not there."""
    advice = {
        "image": "name the one that holds the images' paths by --image-column",
        "patient": "name one by --patient-column, or take the patient from the image's path, as by "
        r"--patient-pattern 'person(\d+)'",
    }
    needed = {"image": columns["image"]}
    if options.patient_pattern is None:
        needed["patient"] = columns["patient"]
    if options.view_column is not None:
        needed["view"] = columns["view"]
    if options.split_column is not None:
        needed["split"] = columns["split"]
    for role, name in needed.items():
        if name not in frame:
            then = advice.get(role, "")
            if then and (dataset := _published(frame)):
                then = f"if the table is {dataset}'s own, use --dataset {dataset}; else {then}"
            raise UsageError(missing_column(path, name, frame.columns, then))


def _published(frame: pd.DataFrame) -> str | None:
    """The dataset whose published table this seems to be."""
    return next((name for name, own in _PUBLISHED.items() if own <= {*frame.columns}), None)


def _findings(
    path: Path, frame: pd.DataFrame, columns: dict[str, str], options: TableOptions
) -> tuple[list[str], tuple[str, ...]]:
    """The label columns, and a note that names them where the user did not choose them."""
    if options.label_columns:
        names = {plain(name): name for name in frame.columns}
        for name in options.label_columns:
            if plain(name) not in names:
                why = "name columns that it has by --label-column"
                raise UsageError(missing_column(path, name, frame.columns, why))
        return [names[plain(name)] for name in options.label_columns], ()
    taken = {plain(name) for name in (*columns.values(), *_NOT_LABELS)}
    findings = [name for name in frame.columns if plain(name) not in taken]
    if not findings:
        raise UsageError(
            f"{path} has no label column, only {printable(', '.join(frame.columns), 600)}."
        )
    return findings, (_labels_note(findings),)


def _labels_note(names: Sequence[str]) -> str:
    few = in_short(names, _SHOWN)
    count = f"{len(names)} label columns" if len(names) > 1 else "1 label column"
    return f"{count}: {few} (choose others by --label-column)."


def _patients(
    path: Path,
    frame: pd.DataFrame,
    image: pd.Series,
    columns: dict[str, str],
    options: TableOptions,
) -> tuple[pd.Series, tuple[str, ...]]:
    """The patient of each row, and notes."""
    name = columns["patient"]
    if options.patient_pattern is None:
        return frame[name], ()
    if name in frame or options.patient_column is not None:
        raise UsageError(
            f"The column {name!r} of {path} and --patient-pattern both say the patient: leave out "
            "the pattern."
        )
    return patients_of(image, options.patient_pattern)


def _split(path: Path, frame: pd.DataFrame, name: str, source: Source) -> pd.Series:
    """The official split of each row; "" where the table has none."""
    if name not in frame:
        return pd.Series("", index=frame.index)
    split = split_words(frame[name])
    strange = (split == "") & frame[name].notna()
    if source.official or source.options.split_column is not None:
        why = "is no split: expected train, val or test"
        refuse_cells(strange, path, name, why, frame[name])
    return split
