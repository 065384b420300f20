"""What the user said about a dataset's tables and images → Source."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Match = Literal["path", "stem"]
Readers = Literal["majority", "any", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """How a table is to be read where it is not as its dataset's readers expect; None is unset."""

    image_column: str | None = None
    patient_column: str | None = None
    view_column: str | None = None
    split_column: str | None = None
    label_columns: tuple[str, ...] = ()  # (): every column that is nothing else
    match: Match = "path"  # how an image is found below the root: by its path, or by its stem
    patient_pattern: str | None = None  # a regular expression whose group 1 is the patient
    readers: Readers = "majority"  # of several readers of one image, how many see a finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a dataset's tables and images are."""

    labels: Path | None = None  # a table, or the folder of several; None: the shipped copy, or root
    root: Path | None = None  # folder of the images; None: labels alone
    options: TableOptions = field(default_factory=TableOptions)
    official: bool = False  # whether the official split is wanted, with all tables that it needs
