"""The datasets by name, and one reader for all of them → LabelTable."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from builder.contract import UsageError, check_pathologies
from builder.labels import brax, chexpert, mimic, nih, padchest, rsna, vindr
from builder.labels.demo import read_demo
from builder.labels.demographics import FRONTAL
from builder.labels.folder import read_folder
from builder.labels.label_table import LabelTable
from builder.labels.pathologies import canonical
from builder.labels.published import About
from builder.labels.source import Source, TableOptions
from builder.labels.table import read_table

Reader = Callable[[Source], LabelTable]

READERS: dict[str, Reader] = {
    "chexpert": chexpert.read_chexpert,
    "nih": nih.read_nih,
    "mimic": mimic.read_mimic,
    "padchest": padchest.read_padchest,
    "vindr": vindr.read_vindr,
    "brax": brax.read_brax,
    "rsna": rsna.read_rsna,
    "folder": read_folder,
    "table": read_table,
    "demo": read_demo,
}

PUBLISHED: dict[str, About] = {
    "chexpert": chexpert.ABOUT,
    "nih": nih.ABOUT,
    "mimic": mimic.ABOUT,
    "padchest": padchest.ABOUT,
    "vindr": vindr.ABOUT,
    "brax": brax.ABOUT,
    "rsna": rsna.ABOUT,
}


def read_labels(
    dataset: str,
    *,
    labels: Path | None = None,
    root: Path | None = None,
    links_to: tuple[Path, ...] = (),
    options: TableOptions | None = None,
    official: bool = False,
    uncertain: str = "ones",
    views: str = "all",
) -> LabelTable:
    """The label table of a dataset after the uncertainty policy and the choice of views.

    `dataset` is a name of READERS, `labels` its table (None: the copy that is shipped, where there
    is one), `root` the folder of its images (None: labels alone), `links_to` the folders that links
    in it may lead to, `options` how its columns are
    called, `official` whether its official split is wanted. `uncertain` turns -1 into 1 ("ones":
    U-Ones, the paper's policy) or 0 ("zeros"), or keeps it ("mask"). `views` is "all" or "frontal".
    Raises UsageError, with row and column, for a table that cannot be trusted.
    """
    if root is not None and not root.is_dir():
        raise UsageError(f"The image folder {root} does not exist: check --root or XBUILD_ROOT.")
    table = READERS[dataset](
        Source(labels=labels, root=root, options=options or TableOptions(), official=official)
    )
    table = replace(table, links_to=links_to)
    check_pathologies(table.pathologies)
    _refuse_synonyms(table.pathologies)
    if uncertain != "mask":
        known = np.where(table.labels < 0, np.int8(uncertain == "ones"), table.labels)
        table = replace(table, labels=known)
    return _frontal(table) if views == "frontal" else table


def _refuse_synonyms(pathologies: Sequence[str]) -> None:
    """Raise UsageError where two labels are names of one pathology."""
    seen: dict[str, str] = {}
    for name in pathologies:
        if (other := seen.setdefault(canonical(name), name)) != name:
            raise UsageError(
                f"The labels {other!r} and {name!r} are names of the same pathology: leave one out."
            )


def _frontal(table: LabelTable) -> LabelTable:
    views = table.rows["view"]
    keep, unknown = views.isin(FRONTAL).to_numpy(), int((views == "").sum())
    if not keep.any():
        raise UsageError(
            f"--views frontal leaves no row: {len(views) - unknown:,} are lateral, and the view of "
            f"{unknown:,} is unknown."
        )
    notes = table.notes
    if unknown:
        left = f"--views frontal leaves out {unknown:,} of {len(views):,} rows"
        notes = (*notes, f"{left}, because their view is unknown.")
    return replace(
        table,
        rows=table.rows[keep].reset_index(drop=True),
        labels=table.labels[keep],
        notes=notes,
    )
