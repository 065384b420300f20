"""Commands around one dataset: plan, pack, synth, verify."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from builder.cli.environment import option
from builder.cli.options import (
    FILE,
    balance_options,
    reading_options,
    shard_options,
    shards_root,
)
from builder.cli.real_options import real_options
from builder.cli.sharing import tell_faults, verify_release
from builder.cli.terminal import echo
from builder.contract import Manifest, UsageError

if TYPE_CHECKING:
    from builder.recipe import RealRequest

_Asked = TypeVar("_Asked", bound="RealRequest")


def _batch(value: str) -> int | str:
    """A number of images, or auto."""
    if value == "auto":
        return value
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 10**6):
        raise click.BadParameter(f"{value!r} is neither a whole number of 1 or more nor auto.")
    return int(value)


@click.command()
@real_options
@balance_options
@option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(as_json: bool, **request: Any) -> None:
    """Count the images that each target needs.

    Reads labels only and writes nothing.
    """
    from builder.blueprint import prepare
    from builder.cli.plan_text import plan_json, plan_text
    from builder.recipe import Request

    blueprint = prepare(Request(**request))
    _show_notes(blueprint.cohort.table.notes)
    echo(plan_json(blueprint) if as_json else plan_text(blueprint))


@click.command()
@real_options
@option("--name", help="Name of the dataset.  [default: real and the regime]")
@option(
    "--image-size",
    type=click.IntRange(16, 1024),
    default=224,
    show_default=True,
    help="Pixels on a side.",
)
@reading_options
@shard_options
def pack(
    out: Path,
    skip_bad: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    name: str | None,
    **request: Any,
) -> None:
    """Seal real images alone, to train a generator on them.

    Shards, index and manifest, in the folders shards/ and manifests/ of --out. No generator is
    needed. `xbuild synth` with the same options and --out uses these very shards.
    """
    from builder.blueprint import read_cohort
    from builder.build import pack as build
    from builder.cli.engines import started
    from builder.cli.plan_text import packed_text
    from builder.engines.make import Work
    from builder.progress import progress
    from builder.recipe import RealRequest

    asked = _with_images(RealRequest(name=name, **request))
    cohort = read_cohort(asked)
    _show_notes(cohort.table.notes)
    with started(engine, address) as engine_of:
        work = Work(
            out=out, workers=workers, skip_bad=skip_bad, progress=progress, engine=engine_of
        )
        manifest = build(asked, cohort, work)
    echo(packed_text(manifest))
    _show_sealed(manifest, out)


@click.command()
@real_options
@balance_options
@option("--name", help="Name of the dataset.  [default: gan and the regime]")
@option(
    "--generator",
    metavar="NAME|FILE",
    help="Generator of the images: NAME or NAME:ARGUMENT of an installed one, or a .safetensors "
    "file.  [default: nih64 for --dataset nih, otherwise phantom]",
)
@option(
    "--generator-option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option that the generator takes; repeat for more.",
)
@option(
    "--label-map",
    multiple=True,
    metavar="PATHOLOGY=LABEL",
    help="Show a pathology that the generator lacks as another of its labels: "
    "'Lung Lesion=Mass'; repeat for more.",
)
@option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Precision in which the generator computes; tf32 is fp32 on a CPU.",
)
@option(
    "--batch",
    type=_batch,
    show_default="64, or 128 on a GPU",
    help="Images per call of the generator, or auto: the fastest by trial on a GPU, where pixels "
    "depend on it.",
)
@option(
    "--check",
    "checks",
    multiple=True,
    metavar="NAME[:ARGUMENT]",
    help="Check that rendered images must pass, or they are drawn again: duplicate, copy, "
    "classifier:FILE, or your own; repeat for more.  [always: constant]",
)
@option("--keep-rejects", is_flag=True, help="Keep rejected images in NAME-rejected/.")
@option(
    "--image-size",
    type=click.IntRange(16, 1024),
    help="Pixels on a side.  [default: the generator's, at most 224]",
)
@option(
    "--real",
    type=click.Choice(["pack", "none"]),
    default="pack",
    show_default=True,
    help="With none, the synthetic half alone is built: it needs labels but no images.",
)
@reading_options
@shard_options
@option("--dry-run", is_flag=True, help="Print the plan and stop.")
def synth(
    out: Path,
    skip_bad: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    keep_rejects: bool,
    dry_run: bool,
    **request: Any,
) -> None:
    """Build and seal a balanced dataset.

    Real and synthetic shards, index and manifest, in the folders shards/ and manifests/ of --out.
    After an interruption, the same command resumes the build.
    """
    from builder.blueprint import prepare
    from builder.build import synth as build
    from builder.cli.engines import started
    from builder.cli.plan_text import plan_text, throughput_text
    from builder.engines.make import Work
    from builder.progress import progress
    from builder.recipe import Request

    blueprint = prepare(_with_images(Request(**request)))
    _show_notes(blueprint.cohort.table.notes)
    echo(plan_text(blueprint))
    if blueprint.generator.name == "phantom" and blueprint.request.dataset != "demo":
        echo(
            "Note: phantoms are drawings, not radiographs; name a generator by --generator.",
            err=True,
        )
    if dry_run:
        return
    with started(engine, address) as engine_of:
        work = Work(
            out=out,
            workers=workers,
            skip_bad=skip_bad,
            progress=progress,
            keep_rejects=keep_rejects,
            engine=engine_of,
        )
        built = build(blueprint, work)
    echo(f"\n{throughput_text(built)}")
    _show_sealed(built.manifest, out)


def _with_images(request: _Asked) -> _Asked:
    """The request with the CheXpert of the current folder, where that is needed and was found."""
    from builder.blueprint import with_images

    asked = with_images(request, Path.cwd())
    if asked.root != request.root:
        _show_notes([f"CheXpert's images are those in {asked.root}."])
    return asked


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes:
        echo(f"Note: {note}", err=True)


def _show_sealed(manifest: Manifest, out: Path) -> None:
    """Draw the contact sheet, and say where everything is and how many images were left out."""
    from builder.gallery.contact_sheet import contact_sheet

    if left_out := manifest.source.get("left_out"):
        images = "real image is" if left_out == 1 else "real images are"
        _show_notes([f"{left_out:,} {images} left out: see {out / manifest.name}-left-out.csv."])
    path = out / "manifests" / f"{manifest.name}.json"
    sheet = path.with_suffix(".png")
    pictures = f"; pictures in {sheet}" if contact_sheet(manifest, path, sheet) else ""
    echo(f"Sealed {path} ({manifest.index.rows:,} images){pictures}.")


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@option(
    "--allowed-signers",
    type=FILE,
    help="File of OpenSSH with the keys that you trust; a release must be signed by one of them.",
)
@shards_root
def verify(manifest: Path, allowed_signers: Path | None, shards_root: Path | None) -> None:
    """Recompute a dataset from its shards.

    Checks sizes, hashes, layout, labels, pixels and shares; prints OK, or every fault. MANIFEST may
    also be the folder of a release: then every byte in it is checked.
    """
    from builder.contract import load_manifest
    from builder.progress import progress
    from builder.verify import verify as faults_of

    if manifest.is_dir():
        verify_release(manifest, allowed_signers)
        return
    if allowed_signers is not None:
        raise UsageError(
            "--allowed-signers is for the folder of a release; a manifest is unsigned."
        )
    sealed = load_manifest(manifest)  # for the length of the bar; verify loads its own
    with progress("verifying", sealed.index.rows) as advance:
        faults = list(faults_of(manifest, root=shards_root, advance=advance))
    tell_faults(manifest, faults)
    shards = len(sealed.shardlist)
    echo(f"OK: {sealed.index.rows:,} samples in {shards} shards are as {manifest} says.")
