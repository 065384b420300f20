"""Command datasets: what each dataset needs, and what of it is there."""

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import click

from builder.cli.environment import option
from builder.cli.options import FOLDER
from builder.cli.terminal import echo
from builder.contract import UsageError, printable

if TYPE_CHECKING:
    from builder.labels.published import About
    from builder.labels.source import Source

_WIDTH = 100
_OWN = {  # datasets that are not published ones, with what they need
    "folder": "images in class folders, such as train/NORMAL/ and train/PNEUMONIA/; needs --root",
    "table": "a table of your own with columns image, patient and one per label; needs --labels",
    "demo": "CheXpert's labels, with phantoms as images; needs nothing",
}


@click.command()
@option(
    "--root",
    type=FOLDER,
    envvar="XBUILD_ROOT",
    show_envvar=True,
    help="Folder to look in before the current one.",
)
def datasets(root: Path | None) -> None:
    """List the datasets, and what each needs.

    Says how large each dataset is, which of its tables were found, and what --root must hold.
    """
    from builder.labels.datasets import PUBLISHED
    from builder.labels.source import Source

    if root is not None and not root.is_dir():
        raise UsageError(f"The folder {root} does not exist: check --root or XBUILD_ROOT.")
    folders = [folder.absolute() for folder in (root, Path()) if folder is not None]
    sources = [Source(root=folder) for folder in dict.fromkeys(folders)]
    for name, about in PUBLISHED.items():
        patients = "each is a patient" if about.patients is None else f"{about.patients:,} patients"
        echo(f"{name:10}{about.title}: {about.images:,} images, {patients}, {about.labels} labels")
        echo(_line("tables", _tables(about, sources)))
        echo(_line("official split", _found(about.official, sources) or "none"))
        echo(_line("--root", about.root + _images(name, sources)))
    for name, text in _OWN.items():
        echo(f"{name:10}{text}")
    searched = printable(" and ".join(str(source.root) for source in sources), 400)
    echo(f"\nLooked in {searched}, and one folder above.")
    if root is None:
        echo("XBUILD_ROOT or --root names a further folder.")


def _tables(about: "About", sources: "list[Source]") -> str:
    """The tables that the dataset needs, each with where it is."""
    if about.shipped is None:
        return _found((about.table, *about.more), sources)
    shipped = f"{about.shipped} comes with torchxrayvision"
    return "; ".join(filter(None, (shipped, _found(about.more, sources))))


def _found(files: tuple[tuple[str, ...], ...], sources: "list[Source]") -> str:
    """Where each file is, by the names that it may have; then those that are nowhere."""
    from builder.labels.published import find_table

    parts, missing = [], []
    for names in files:
        found = (find_table(source, *names) for source in sources)
        if (path := next(filter(None, found), None)) is not None:
            parts.append(f"{path.name} in {printable(str(path.parent), 200)}")
        else:
            missing.append(names[0])
    if missing:
        parts.append(f"not found: {', '.join(missing)}")
    return "; ".join(parts)


def _images(name: str, sources: "list[Source]") -> str:
    """Where CheXpert's images are, which need no --root if they are found."""
    from builder.labels.chexpert import find_chexpert

    roots = [source.root for source in sources if source.root is not None]
    found = [folder for folder in roots if name == "chexpert" and find_chexpert(folder)]
    return f"; found in {printable(str(found[0]), 200)}" if found else ""


def _line(head: str, text: str) -> str:
    """A line under a dataset's name, wrapped."""
    return fill(
        f"{'':10}{head:16}{text}",
        _WIDTH,
        subsequent_indent=" " * 26,
        break_long_words=False,
        break_on_hyphens=False,
    )
