"""Commands for people's eyes: view and preview."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.environment import option
from builder.cli.near import bring_all, check_there, dataset_near, results_in, shown_place
from builder.cli.options import FILE, FOLDER, OrUrl, shards_root
from builder.cli.terminal import echo
from builder.contract import (
    CheckError,
    Manifest,
    UsageError,
    dataset_root,
    load_manifest,
    printable,
)

if TYPE_CHECKING:
    from builder.contract.audit import Audit

_MIB = 1 << 20


@click.command()
@click.argument("manifest", type=OrUrl(FILE))
@option(
    "--out",
    type=FOLDER,
    show_default="galleries/NAME beside manifests/",
    help="Folder of the gallery; an older gallery there is replaced.",
)
@option(
    "--audit",
    type=FILE,
    show_default="audits/NAME.audit.json, if it is there",
    help="Record of an audit of this dataset, whose suspects are shown.",
)
@option(
    "--synthetic-only",
    is_flag=True,
    help="Leave out every real image, for a gallery that may be passed on.",
)
@option(
    "--thumbnail",
    type=click.IntRange(16, 1024),
    metavar="PIXELS",
    show_default="as large as fits into about 250 MB, at least 64",
    help="Longer side of an image in the gallery.",
)
@shards_root
def view(
    manifest: Path | str,
    out: Path | None,
    audit: Path | None,
    synthetic_only: bool,
    thumbnail: int | None,
    shards_root: Path | None,
) -> None:
    """Make a gallery: a page to look at every image.

    Writes a folder that any browser opens from disk. It shows how often each pathology is present
    before and after, and the images by pathology, origin, split and target, real beside synthetic,
    each with its labels.
    """
    from builder.audit.pictures import open_sealed
    from builder.contract.audit import audit_path
    from builder.gallery.write import KEEP, check_place, write_gallery
    from builder.progress import progress

    with dataset_near(manifest, shards_root) as here:
        asked = load_manifest(here.path)
        galleries = results_in(manifest, "galleries", None) or dataset_root(here.path) / "galleries"
        folder = out or galleries / asked.name
        check_place(folder)
        check_there(here, asked, shards_root)
        record = audit or audit_path(here.path, asked.name, results_in(manifest, "audits", None))
        found = _audit(manifest, record, asked, named=audit is not None)
        bring_all(here, asked)
        with progress("checking", asked.index.rows) as advance:
            sealed = open_sealed(here.path, shards_root, advance)
        written = write_gallery(
            sealed,
            folder,
            audit=found,
            synthetic_only=synthetic_only,
            side=thumbnail,
            show=progress,
        )
    if written.real:
        echo(f"Note: {KEEP}", err=True)
    echo(
        f"{written.images:,} images at {written.side} pixels, "
        f"{-(-written.bytes // _MIB):,} MiB: open {written.page} in a browser."
    )


def _audit(manifest: Path | str, path: Path, asked: Manifest, *, named: bool) -> "Audit | None":
    """The audit of that dataset; None where none fits and the user `named` none."""
    from builder.contract.audit import read_audit

    if not named and not path.is_file():
        return None
    audit = read_audit(path)
    if audit.digest == asked.digest:
        return audit
    if not named:
        echo(f"Note: {path} is of another {printable(asked.name)}, and is left out.", err=True)
        return None
    raise CheckError(
        f"{path} is an audit of {audit.name} with digest {audit.digest[:12]}…, and not of "
        f"{shown_place(manifest)} (digest {asked.digest[:12]}…): audit this dataset."
    )


@click.command()
@click.argument("manifest", type=OrUrl(FILE))
@option(
    "--pathology",
    "pathologies",
    multiple=True,
    metavar="NAME",
    help="Pathology to show; repeat for more.  [default: all targets]",
)
@option(
    "--out",
    type=FILE,
    show_default="NAME-preview.png",
    help="PNG file to write.",
)
@shards_root
def preview(
    manifest: Path | str, pathologies: tuple[str, ...], out: Path | None, shards_root: Path | None
) -> None:
    """Draw the paper's Figure 2 for any pathology.

    A row of real images above a row of synthetic ones. They are the first ones, so nobody chose
    them; each real one is of another patient.
    """
    from builder.gallery.contact_sheet import contact_sheet

    with dataset_near(manifest, shards_root) as here:
        sealed = load_manifest(here.path)
        path = out or Path(f"{sealed.name}-preview.png")
        if path.suffix.lower() != ".png":
            raise UsageError(f"{path} is not the name of a PNG file: let it end with .png.")
        check_there(here, sealed, shards_root)
        names = tuple(dict.fromkeys(pathologies))
        drawn = contact_sheet(
            sealed, here.path, path, pathologies=names, root=shards_root, bring=here.bring
        )
    if not drawn:
        shown = printable(", ".join(names)) or "a pathology"
        raise UsageError(f"No training image of {sealed.name} is positive for {shown}.")
    real = any(shard.origin == "real" for shard in sealed.shardlist)
    if real and sealed.dataset != "demo":
        echo("Note: it shows images of patients.", err=True)
    echo(f"Drew {path}.")
