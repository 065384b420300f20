"""Commands around one dataset: plan, pack, synth, verify."""

from pathlib import Path
from typing import Any

import click

from builder.cli.options import (
    FILE,
    balance_options,
    real_options,
    shard_options,
    shards_root,
)
from builder.contract import CheckError, Manifest


@click.command()
@real_options
@balance_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(as_json: bool, **request: Any) -> None:
    """Count the images that each target needs.

    Reads labels only and writes nothing.
    """
    from builder.build import prepare
    from builder.cli.plan_text import plan_json, plan_text
    from builder.recipe import Request

    blueprint = prepare(Request(**request))
    click.echo(plan_json(blueprint) if as_json else plan_text(blueprint))


@click.command()
@real_options
@click.option("--name", help="Name of the dataset.  [default: real and the regime]")
@click.option(
    "--image-size",
    type=click.IntRange(16, 1024),
    default=224,
    show_default=True,
    help="Pixels on a side.",
)
@shard_options
def pack(out: Path, skip_bad: bool, workers: int | None, name: str | None, **request: Any) -> None:
    """Seal real images alone, to train a generator on them.

    Shards, index and manifest, in the folders shards/ and manifests/ of --out. No generator is
    needed. `xbuild synth` with the same options and --out uses these very shards.
    """
    from builder.build import pack as build
    from builder.cli.plan_text import packed_text
    from builder.engines.make import Work
    from builder.progress import progress
    from builder.recipe import RealRequest

    work = Work(out=out, workers=workers, skip_bad=skip_bad, progress=progress)
    manifest = build(RealRequest(name=name, **request), work)
    click.echo(packed_text(manifest))
    _show_sealed(manifest, out)


@click.command()
@real_options
@balance_options
@click.option("--name", help="Name of the dataset.  [default: gan and the regime]")
@click.option(
    "--generator",
    metavar="NAME|FILE",
    help="Generator of the images: NAME or NAME:ARGUMENT of an installed one, or a .safetensors "
    "file.  [default: nih64 for --dataset nih, otherwise phantom]",
)
@click.option(
    "--generator-option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option that the generator takes; repeat for more.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Precision in which the generator computes.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    show_default="64, or the fastest on a GPU",
    help="Images per call of the generator; halved when memory runs out.",
)
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="NAME[:ARGUMENT]",
    help="Check that rendered images must pass, or they are drawn again: duplicate, copy, "
    "classifier:FILE, or your own; repeat for more.  [always: constant]",
)
@click.option("--keep-rejects", is_flag=True, help="Keep rejected images in NAME-rejected/.")
@click.option(
    "--image-size",
    type=click.IntRange(16, 1024),
    help="Pixels on a side.  [default: the generator's, at most 224]",
)
@click.option(
    "--upsample", is_flag=True, help="Enlarge images of a generator that is below --image-size."
)
@click.option(
    "--real",
    type=click.Choice(["pack", "none"]),
    default="pack",
    show_default=True,
    help="With none, the synthetic half alone is built: it needs labels but no images.",
)
@shard_options
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
def synth(
    out: Path,
    skip_bad: bool,
    workers: int | None,
    batch: int | None,
    keep_rejects: bool,
    dry_run: bool,
    **request: Any,
) -> None:
    """Build and seal a balanced dataset.

    Real and synthetic shards, index and manifest, in the folders shards/ and manifests/ of --out.
    After an interruption, the same command resumes the build.
    """
    from builder.build import prepare
    from builder.build import synth as build
    from builder.cli.plan_text import plan_text, throughput_text
    from builder.engines.make import Work
    from builder.progress import progress
    from builder.recipe import Request

    blueprint = prepare(Request(**request))
    click.echo(plan_text(blueprint))
    if blueprint.generator.name == "phantom" and blueprint.request.dataset != "demo":
        click.echo(
            "Note: phantoms are drawings, not radiographs; name a generator by --generator.",
            err=True,
        )
    if dry_run:
        return
    work = Work(
        out=out,
        workers=workers,
        skip_bad=skip_bad,
        progress=progress,
        batch=batch,
        keep_rejects=keep_rejects,
    )
    built = build(blueprint, work)
    click.echo(f"\n{throughput_text(built)}")
    _show_sealed(built.manifest, out)


def _show_sealed(manifest: Manifest, out: Path) -> None:
    """Draw the contact sheet and say where everything is."""
    from builder.contact_sheet import contact_sheet

    path = out / "manifests" / f"{manifest.name}.json"
    sheet = path.with_suffix(".png")
    pictures = f"; pictures in {sheet}" if contact_sheet(manifest, path, sheet) else ""
    click.echo(f"Sealed {path} ({manifest.index.rows:,} images){pictures}.")


@click.command()
@click.argument("manifest", type=FILE)
@shards_root
def verify(manifest: Path, shards_root: Path | None) -> None:
    """Recompute a dataset from its shards.

    Checks sizes, hashes, layout, labels, pixels and shares; prints OK, or every fault.
    """
    from builder.contract import load_manifest
    from builder.progress import progress
    from builder.verify import verify as faults_of

    sealed = load_manifest(manifest)  # for the length of the bar; verify loads its own
    with progress("verifying", sealed.index.rows) as advance:
        faults = list(faults_of(manifest, root=shards_root, advance=advance))
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        raise CheckError(f"{manifest}: {len(faults)} faults.")
    shards = len(sealed.shardlist)
    click.echo(f"OK: {sealed.index.rows:,} samples in {shards} shards are as {manifest} says.")
