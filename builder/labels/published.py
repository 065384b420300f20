"""What the published datasets have in common: where their tables lie, and rows to leave out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from builder.contract import UsageError, printable
from builder.labels.cells import numbers, refuse_cells
from builder.labels.label_table import LabelTable, fingerprint
from builder.labels.source import Source
from builder.labels.tables import shipped_table

IMAGE_IS_PATIENT = (
    "{} names no patients: each image counts as one, so images of one person may be in two splits."
)
_COMPRESSED = ("", ".gz", ".zip")  # as tables are published


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a published dataset is made of; the counts are those of its main table."""

    title: str
    images: int
    patients: int | None  # None: the table names none, so each image counts as one
    labels: int
    table: tuple[str, ...]  # names that its main table may have, the usual one first
    shipped: str | None = None  # torchxrayvision's copy of that
    more: tuple[tuple[str, ...], ...] = ()  # names of each further table
    official: tuple[tuple[str, ...], ...] = ()  # names of each file of its official split, if any
    root: str  # what --root holds


def find_table(source: Source, *names: str) -> Path | None:
    """The first of the tables `names` that is at hand, plain or compressed; None if none is.

    They are looked for in the folder of --labels, in the root, and in the folder above the root.
    """
    for folder in _places(source):
        for name in names:
            for ending in _COMPRESSED:
                if (path := folder / f"{name}{ending}").is_file():
                    return path
    return None


def main_table(source: Source, about: About) -> Path:
    """The dataset's main table: what --labels names, or the shipped copy, or the one at hand.

    Raises UsageError, which says where the table was looked for.
    """
    if source.labels is not None and not source.labels.is_dir():
        return source.labels
    if source.labels is None and about.shipped is not None:
        return shipped_table(about.shipped)
    return needed_table(source, about, about.table)


def needed_table(source: Source, about: About, names: tuple[str, ...]) -> Path:
    """The first of the tables `names` that is at hand.

    Raises UsageError, which says where the table was looked for.
    """
    if (path := find_table(source, *names)) is not None:
        return path
    raise UsageError(
        f"{about.title} needs its table {_or_gz(names[0])}: {_searched(source)}; check --root, or "
        "name the folder of its tables by --labels."
    )


def official_files(source: Source, about: About, first: int = 0) -> list[Path]:
    """The files of the official split from the `first` on, in the order of `about`.

    Raises UsageError, which says where they were looked for, if one is missing.
    """
    wanted = about.official[first:]
    found = [find_table(source, *names) for names in wanted]
    missing = [names[0] for names, path in zip(wanted, found, strict=True) if path is None]
    if missing:
        raise UsageError(
            f"The official split of {about.title} needs {_or_gz(*missing)}: "
            f"{_searched(source, len(missing))}; name the folder that holds all tables by "
            "--labels, or use --split hash."
        )
    return [path for path in found if path is not None]


def refuse_official(source: Source, about: About) -> None:
    """Raise UsageError if the official split is asked of a dataset that has none."""
    if source.official:
        raise UsageError(f"{about.title} has no official split: use --split hash.")


def refuse_labels(labels: pd.DataFrame, path: Path, *, allowed: Sequence[int]) -> None:
    """Raise UsageError for the first label of a table that is neither `allowed` nor blank."""
    for name in labels:
        bad = ~numbers(labels[name]).isin(allowed) & labels[name].notna()
        why = f"is not {', '.join(map(str, allowed))} or blank"
        refuse_cells(bad, path, str(name), why, labels[name])


def join_tables(first: LabelTable, *others: LabelTable) -> LabelTable:
    """The rows of all tables in order, each read and checked by itself.

    Raises UsageError where two of them name one image.
    """
    tables = (first, *others)
    if any(table.pathologies != first.pathologies for table in others):
        raise UsageError(
            f"{' and '.join(str(table.path) for table in tables)} have different labels: an "
            "official split needs tables of one kind."
        )
    rows = pd.concat([table.rows for table in tables], ignore_index=True)
    if (twice := rows["image"].duplicated()).any():
        names = ", ".join(table.path.name for table in tables)
        raise UsageError(
            f"The image {printable(rows['image'][twice].iloc[0])} is in two of the tables {names} "
            f"of {first.path.parent}: in an official split it is in one."
        )
    labels = np.concatenate([table.labels for table in tables])
    sha256, salt = fingerprint(*(table.path for table in tables))
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    return replace(first, rows=rows, labels=labels, sha256=sha256, salt=salt, notes=notes)


def tables_read(*paths: Path) -> str:
    """The note that names the tables that were read."""
    return f"Tables read: {printable(', '.join(path.name for path in paths), 400)}."


def keep_rows(table: LabelTable, keep: "pd.Series[bool]", note: str) -> LabelTable:
    """The table with the rows where `keep` is true, and with the note if there are others.

    UsageError where no row is left.
    """
    if keep.all():
        return table
    if not keep.any():
        raise UsageError(f"{table.path} has no row that can be used: {note}")
    rows = table.rows[keep.to_numpy()].reset_index(drop=True)
    notes = (*table.notes, note)
    return replace(table, rows=rows, labels=table.labels[keep.to_numpy()], notes=notes)


def keep_images(table: LabelTable) -> LabelTable:
    """The rows that have a file, with a note about the others."""
    found = table.rows["file"].notna()
    note = (
        f"{int(found.sum()):,} of {len(found):,} rows have an image under {table.root}; the others "
        "are left out."
    )
    return keep_rows(table, found, note)


def _or_gz(*tables: str) -> str:
    """The names of tables, with the ending that is as good."""
    return f"{' and '.join(tables)} (or {Path(tables[0]).suffix}.gz)"


def _places(source: Source) -> tuple[Path, ...]:
    """The folders where tables are looked for."""
    folders = []
    if source.labels is not None:
        folders.append(source.labels if source.labels.is_dir() else source.labels.absolute().parent)
    if source.root is not None:
        folders += [source.root, source.root.absolute().parent]
    return tuple({folder.absolute(): folder for folder in folders}.values())


def _searched(source: Source, tables: int = 1) -> str:
    """Where that many tables were looked for, as part of a message."""
    what = "it is" if tables == 1 else "they are"
    if not (places := _places(source)):
        return f"neither --labels nor --root says where {what}"
    return f"{what} not in {' or '.join(str(folder) for folder in places)}"
