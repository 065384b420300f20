"""Commands around datasets that others sealed: rebuild, merge."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from builder.cli.environment import option
from builder.cli.options import FILE, FOLDER, PLACE

if TYPE_CHECKING:
    from builder.share.rebuild import Outcome

_SHOWN = 5  # differences that the terminal shows


@click.command()
@click.argument("manifest", type=FILE)
@option("--root", type=FOLDER, envvar="XBUILD_ROOT", help="Folder of your copy of the real images.")
@option("--labels", type=PLACE, help="Label table.  [default: the copy in torchxrayvision]")
@option(
    "--out",
    type=FOLDER,
    show_default="the folder that holds manifests/",
    help="Folder for manifests/ and shards/.",
)
@option(
    "--generator",
    metavar="FILE",
    help="Weights of the generator, where they are not installed: a .safetensors file, or "
    "NAME:ARGUMENT.",
)
@option(
    "--check",
    "checks",
    multiple=True,
    metavar="NAME:FILE",
    help="A check whose file the manifest names by its sha256; repeat for more.",
)
@option(
    "--batch",
    type=click.IntRange(1),
    show_default="64, or the fastest on a GPU",
    help="Images per call of the generator; halved when memory runs out.",
)
@option(
    "--workers",
    type=click.IntRange(1),
    show_default="one per core, or per GPU that renders",
    help="Number of processes; the bytes do not depend on it.",
)
@option(
    "--anyway",
    is_flag=True,
    help="Build with another label table, generator or software, or with images that differ or are "
    "missing. Unless it is proved to be the same, the result is called NAME-rebuilt.",
)
def rebuild(
    manifest: Path,
    root: Path | None,
    labels: Path | None,
    out: Path | None,
    generator: str | None,
    checks: tuple[str, ...],
    batch: int | None,
    workers: int | None,
    anyway: bool,
) -> None:
    """Build the dataset of MANIFEST again, and prove it.

    The synthetic half is rendered again, the real half is packed from your own images. Each shard
    must have the sha256 that MANIFEST says; where a CPU or GPU rounds otherwise, each image is
    compared. After an interruption, the same command resumes the build.
    """
    from builder.contract import load_manifest
    from builder.engines.make import Work
    from builder.progress import progress
    from builder.share.lockfile import Own
    from builder.share.rebuild import home_of
    from builder.share.rebuild import rebuild as build

    source = click.get_current_context().get_parameter_source("root")
    if source is ParameterSource.ENVIRONMENT and load_manifest(manifest).dataset == "demo":
        root = None  # it is meant for other datasets
    work = Work(
        out=out or home_of(manifest),
        workers=workers,
        skip_bad=False,
        progress=progress,
        batch=batch,
    )
    own = Own(root=root, labels=labels, generator=generator, checks=checks)
    _show(manifest, build(manifest, own, work, anyway=anyway, tell=_show_notes))


def _show_notes(notes: "list[str] | tuple[str, ...]") -> None:
    for note in notes:
        click.echo(f"Note: {note}", err=True)


def _show(asked: Path, outcome: "Outcome") -> None:
    """Say what was proved, and all that was not."""
    shards, equal = len(outcome.manifest.shardlist), len(outcome.proof.equal)
    images = outcome.manifest.index.rows
    for refusal in outcome.refusals:
        click.echo(f"Note: {refusal}.", err=True)
    if outcome.here:
        click.echo(f"{outcome.path}: all {shards} shards are here already, as sealed.")
    elif outcome.proof.same:
        click.echo(
            f"{outcome.path}: {images:,} images in {shards} shards, each with the sha256 that was "
            f"sealed (digest {outcome.manifest.digest})."
        )
    elif outcome.proof.close:
        click.echo(
            f"{outcome.path}: {equal} of {shards} shards have the sha256 that was sealed. In the "
            f"others every image has its labels and its draw, and its sketch is at most "
            f"{outcome.proof.farthest} greys away, so it has another name than {asked}."
        )
    else:
        for difference in outcome.proof.differences[:_SHOWN]:
            click.echo(difference, err=True)
        click.echo(
            f"{outcome.path}: {images:,} images that are not those of {asked}: "
            f"{len(outcome.proof.differences):,} differences, listed in {outcome.differences}."
        )
