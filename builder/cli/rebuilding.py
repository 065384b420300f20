"""Commands around datasets that others sealed: rebuild, merge."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from builder.cli.environment import option
from builder.cli.options import FILE, FOLDER, MAX_BATCH, PLACE, filled, number
from builder.cli.real_options import links_to, pattern
from builder.cli.terminal import echo
from builder.contract import UsageError

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
@links_to()
@option(
    "--generator",
    type=filled,
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
    "--patient-pattern",
    type=pattern,
    metavar="REGEX",
    help="Regular expression by which MANIFEST takes the patients from the images' paths. It is "
    "not used before you have repeated it.",
)
@option(
    "--batch",
    type=click.IntRange(1, MAX_BATCH),
    show_default="the one that MANIFEST says, or 64",
    help="Images per call of the generator.",
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
    links_to: tuple[Path, ...],
    labels: Path | None,
    out: Path | None,
    generator: str | None,
    checks: tuple[str, ...],
    patient_pattern: str | None,
    batch: int | None,
    workers: int | None,
    anyway: bool,
) -> None:
    """Build the dataset of MANIFEST again, and prove it.

    The synthetic half is rendered again, or taken as it is where all of it is here. The real half
    is packed from your own images. Each shard must have the sha256 that MANIFEST says; where a CPU
    or GPU rounds otherwise, each image is compared. After an interruption, the same command
    resumes the build.
    """
    from builder.contract import dataset_root, load_manifest
    from builder.engines.make import Work
    from builder.progress import progress
    from builder.share.lockfile import Own
    from builder.share.rebuild import rebuild as build

    source = click.get_current_context().get_parameter_source("root")
    if source is ParameterSource.ENVIRONMENT and load_manifest(manifest).dataset == "demo":
        root = None  # it is meant for other datasets
    work = Work(
        out=out or dataset_root(manifest),
        workers=workers,
        skip_bad=False,
        progress=progress,
    )
    own = Own(
        root=root,
        links_to=links_to,
        labels=labels,
        generator=generator,
        checks=checks,
        batch=batch,
        patient_pattern=patient_pattern,
    )
    _show(manifest, build(manifest, own, work, anyway=anyway, tell=_show_notes))


@click.command()
@click.argument("manifests", type=FILE, nargs=-1, required=True)
@option("--name", required=True, help="Name of the dataset.")
@option(
    "--out",
    type=FOLDER,
    show_default="the folder that holds manifests/ of the first",
    help="Folder for manifests/ and shards/.",
)
@option(
    "--share",
    type=number,
    metavar="FRACTION",
    help="Share that every target must hold.  [default: the least that the manifests promise]",
)
def merge(manifests: tuple[Path, ...], name: str, out: Path | None, share: str | None) -> None:
    """Make one dataset of several MANIFESTS.

    Their synthetic halves stand side by side; the real half must be the same, or in one of them
    alone. Labels and image size must be alike, no image may be in two, and every target must keep
    its share. Shards stay where they are, or are linked below --out.
    """
    from builder.contract import dataset_root, load_manifest
    from builder.progress import progress
    from builder.share.merge import merge as build

    path = build(
        manifests,
        name=name,
        out=out or dataset_root(manifests[0]),
        progress=progress,
        share=None if share is None else _fraction(share),
    )
    manifest = load_manifest(path)
    assert manifest.plan is not None, "a merged dataset has synthetic images"
    shares = ", ".join(f"{each.pathology} {each.share:.2%}" for each in manifest.plan.targets)
    echo(
        f"Sealed {path}: {manifest.plan.synthetic:,} synthetic images for "
        f"{manifest.plan.real:,} real ones of the training set; {shares}."
    )


def _fraction(share: str) -> Fraction:
    found = Fraction(share)
    if not 0 < found < 1:
        raise UsageError(f"--share is between 0 and 1, got {share}.")
    return found


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes:
        echo(f"Note: {note}", err=True)


def _show(asked: Path, outcome: "Outcome") -> None:
    """Say what was proved, and all that was not."""
    count, equal = len(outcome.manifest.shardlist), len(outcome.proof.equal)
    shards = "1 shard" if count == 1 else f"{count} shards"
    images = outcome.manifest.index.rows
    for refusal in outcome.refusals:
        echo(f"Note: {refusal}.", err=True)
    if outcome.here:
        echo(f"{outcome.path}: {shards}, here already as sealed.")
    elif outcome.proof.same:
        echo(
            f"{outcome.path}: {images:,} images in {shards}, each with the sha256 that was "
            f"sealed (digest {outcome.manifest.digest})."
        )
    elif outcome.proof.close:
        echo(
            f"{outcome.path}: {equal} of {shards} with the sha256 that was sealed. In the "
            "others, every image has its labels and its draw, and its sketch is at most "
            f"{outcome.proof.farthest} greys away, so it has another name than {asked}."
        )
    else:
        for difference in outcome.proof.differences[:_SHOWN]:
            echo(difference, err=True)
        echo(
            f"{outcome.path}: {images:,} images that are not those of {asked}: "
            f"{len(outcome.proof.differences):,} differences, listed in {outcome.differences}."
        )
