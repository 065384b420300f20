"""Commands around one dataset: plan, synth, verify."""

from pathlib import Path
from typing import Any

import click

from builder.cli.options import FILE, FOLDER, recipe_options, shards_root
from builder.contract import CheckError


@click.command()
@recipe_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(labels: Path | None, root: Path | None, as_json: bool, **recipe: Any) -> None:
    """Count the images each target needs.

    Reads labels only, writes nothing.
    """
    from builder.build import prepare
    from builder.cli.plan_text import plan_json, plan_text
    from builder.recipe import Recipe

    blueprint = prepare(Recipe(**recipe), labels=labels, root=root)
    click.echo(plan_json(blueprint) if as_json else plan_text(blueprint))


@click.command()
@recipe_options
@click.option(
    "--generator",
    metavar="NAME|FILE",
    help="Who renders: an installed generator, NAME:ARGUMENT, or a .safetensors file.  "
    "[default: nih64 for nih, else phantom]",
)
@click.option(
    "--out",
    type=FOLDER,
    default=Path(),
    show_default="the current folder",
    help="Folder that gets manifests/ and shards/.",
)
@click.option("--name", default="", help="Name of the dataset.  [default: gan and the regime]")
@click.option(
    "--real",
    type=click.Choice(["pack", "none"]),
    default="pack",
    show_default=True,
    help="none: the synthetic half alone; needs labels but no images.",
)
@click.option(
    "--image-size",
    type=click.IntRange(16, 1024),
    help="Pixels on a side.  [default: the generator's, at most 224]",
)
@click.option(
    "--format",
    "codec",
    type=click.Choice(["jpg", "png"]),
    default="jpg",
    show_default=True,
    help="jpg: quality 95; png: lossless.",
)
@click.option(
    "--generator-option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the generator takes besides; repeat for more.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="In which the generator computes.",
)
@click.option(
    "--accept",
    multiple=True,
    metavar="CHECK",
    help="Draw an image again that is a duplicate, a copy of a real one, or unseen by judge:FILE "
    "(or by your own check); repeat for more.  [always: constant]",
)
@click.option("--keep-rejects", is_flag=True, help="Keep rejected images in NAME-rejected/.")
@click.option("--upsample", is_flag=True, help="Accept a generator below --image-size.")
@click.option("--skip-bad", is_flag=True, help="Leave out real images that cannot be read.")
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    default=4096,
    show_default=True,
    help="Images per shard.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    show_default="one per core, or per GPU where the generator uses them",
    help="Processes; the bytes do not depend on it.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    show_default="64, or what is fastest on a GPU",
    help="Images per call of the generator; halved when memory runs out.",
)
@click.option("--dry-run", is_flag=True, help="Stop after the plan.")
def synth(
    labels: Path | None,
    root: Path | None,
    out: Path,
    skip_bad: bool,
    workers: int | None,
    batch: int | None,
    keep_rejects: bool,
    dry_run: bool,
    **recipe: Any,
) -> None:
    """Build and seal the dataset.

    Real and synthetic shards, index and manifest, in the folders shards/ and manifests/ of --out.
    Interrupted, it goes on where it stopped when run again.
    """
    from builder.build import prepare
    from builder.build import synth as build
    from builder.cli.plan_text import plan_text, throughput_text
    from builder.contact_sheet import contact_sheet
    from builder.progress import progress
    from builder.recipe import Recipe

    given = {name: value for name, value in recipe.items() if value is not None}
    blueprint = prepare(Recipe(**given), labels=labels, root=root)
    click.echo(plan_text(blueprint))
    if blueprint.recipe.generator == "phantom" and recipe["dataset"] != "demo":
        click.echo(
            "Note: phantoms are drawings, not radiographs; give a real --generator.", err=True
        )
    if dry_run:
        return
    built = build(
        blueprint,
        out=out,
        workers=workers,
        skip_bad=skip_bad,
        progress=progress,
        batch=batch,
        keep_rejects=keep_rejects,
    )
    manifest = built.manifest
    path = out / "manifests" / f"{manifest.name}.json"
    sheet = path.with_suffix(".png")
    contact_sheet(manifest, path, sheet)
    click.echo(f"\n{throughput_text(built)}")
    click.echo(f"Sealed {path} ({manifest.index.rows:,} images); pictures in {sheet}.")


@click.command()
@click.argument("manifest", type=FILE)
@shards_root
def verify(manifest: Path, shards_root: Path | None) -> None:
    """Recompute everything from the shards.

    Sizes, hashes, layout, labels, pixels and shares: OK, or every fault.
    """
    from builder.contract import load_manifest
    from builder.progress import progress
    from builder.verify import verify as faults_of

    sealed = load_manifest(manifest)  # for the length of the bar; verify looks for itself
    with progress("verifying", sealed.index.rows) as advance:
        faults = list(faults_of(manifest, root=shards_root, advance=advance))
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        raise CheckError(f"{manifest}: {len(faults)} faults.")
    shards = len(sealed.shardlist)
    click.echo(f"OK: {sealed.index.rows:,} samples in {shards} shards are as {manifest} says.")
