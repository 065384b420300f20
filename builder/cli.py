"""xbuild: words into arguments, nothing more."""

import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from builder.contract import CheckError, UsageError

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


def number(value: str) -> str:
    """A decimal such as 0.15 as the one word for it, so that no binary rounding gets in."""
    try:
        exact = Decimal(value).normalize()
    except InvalidOperation:
        exact = Decimal("nan")
    if not exact.is_finite() or int(exact.as_tuple().exponent) < -9:
        raise click.BadParameter(f"{value!r} is not a number such as 0.15.")
    return f"{exact:f}"


def _recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `plan` and `synth` share."""
    options = [
        click.option(
            "--dataset",
            type=click.Choice(["chexpert", "nih", "table", "demo"]),
            default="chexpert",
            show_default=True,
            help="Where labels and images come from; demo: CheXpert's labels, phantom images.",
        ),
        click.option(
            "--labels", type=_FILE, help="Label table (CSV); default: torchxrayvision's copy."
        ),
        click.option("--root", type=_FOLDER, help="Folder of the real images."),
        click.option(
            "--regime",
            type=number,
            default="100",
            show_default=True,
            help="Per cent of the training patients, in (0, 100].",
        ),
        click.option(
            "--target",
            "targets",
            multiple=True,
            metavar="NAME",
            help="Pathology to lift; repeat for more. Default: all below --rare-below.",
        ),
        click.option(
            "--share",
            type=number,
            default="0.15",
            show_default=True,
            help="Share that every target reaches.",
        ),
        click.option(
            "--rare-below",
            type=number,
            default="0.05",
            show_default=True,
            help="Pathologies below this share of the whole table are targets.",
        ),
        click.option(
            "--most-per-real",
            type=click.IntRange(1),
            default=5,
            show_default=True,
            help="Synthetic images per real one that a plan may ask for.",
        ),
        click.option(
            "--uncertain",
            type=click.Choice(["ones", "zeros", "mask"]),
            default="ones",
            show_default=True,
            help="What a label of -1 becomes; mask: neither, and the loss ignores it.",
        ),
        click.option(
            "--views",
            type=click.Choice(["all", "frontal"]),
            default="all",
            show_default=True,
            help="Which views of the table to use.",
        ),
        click.option(
            "--holdout",
            type=number,
            nargs=2,
            default=("0.05", "0.05"),
            show_default=True,
            metavar="VAL TEST",
            help="Fractions of the patients for val and test.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0, 2**63 - 1),
            default=0,
            show_default=True,
            help="Of split, draws and latents.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cxr-rebalance", prog_name="xbuild")
def cli() -> None:
    """Build a balanced chest X-ray dataset: offline, once, reproducibly.

    The fewest synthetic images that lift every rare pathology to its share, sealed with the real
    ones as WebDataset shards, a parquet index and one manifest.
    """


@cli.command("plan")
@_recipe_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan_command(labels: Path | None, root: Path | None, as_json: bool, **recipe: Any) -> None:
    """Count the images each target needs.

    Reads labels only, writes nothing.
    """
    from builder import show
    from builder.build import prepare
    from builder.recipe import Recipe

    blueprint = prepare(Recipe(**recipe), labels=labels, root=root)
    click.echo(show.plan_json(blueprint) if as_json else show.plan_text(blueprint))


@cli.command("synth")
@_recipe_options
@click.option(
    "--generator",
    metavar="NAME|FILE",
    help="Who renders: an installed generator, NAME:ARGUMENT, or a .safetensors file.  "
    "[default: nih64 for nih, else phantom]",
)
@click.option(
    "--out",
    type=_FOLDER,
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
def synth_command(
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
    from builder import show
    from builder.build import prepare, synth
    from builder.recipe import Recipe

    given = {name: value for name, value in recipe.items() if value is not None}
    blueprint = prepare(Recipe(**given), labels=labels, root=root)
    click.echo(show.plan_text(blueprint))
    if blueprint.recipe.generator == "phantom" and recipe["dataset"] != "demo":
        click.echo(
            "Note: phantoms are drawings, not radiographs; give a real --generator.", err=True
        )
    if dry_run:
        return
    built = synth(
        blueprint,
        out=out,
        workers=workers,
        skip_bad=skip_bad,
        watch=show.progress,
        batch=batch,
        keep_rejects=keep_rejects,
    )
    manifest = built.manifest
    path = out / "manifests" / f"{manifest.name}.json"
    sheet = path.with_suffix(".png")
    show.contact_sheet(manifest, path, sheet)
    click.echo(f"\n{show.pace_text(built)}")
    click.echo(f"Sealed {path} ({manifest.index.rows:,} images); pictures in {sheet}.")


@cli.command("verify")
@click.argument("manifest", type=_FILE)
@click.option("--shards-root", type=_FOLDER, help="Where shards/ lies, if not beside manifests/.")
def verify_command(manifest: Path, shards_root: Path | None) -> None:
    """Recompute everything from the shards.

    Sizes, hashes, layout, labels, pixels and shares: OK, or every fault.
    """
    from builder import show
    from builder.contract import load_manifest
    from builder.verify import verify

    sealed = load_manifest(manifest)  # for the length of the bar; verify looks for itself
    with show.progress("verifying", sealed.index.rows) as tick:
        faults = list(verify(manifest, root=shards_root, tick=tick))
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        raise CheckError(f"{manifest}: {len(faults)} faults.")
    shards = len(sealed.shardlist)
    click.echo(f"OK: {sealed.index.rows:,} samples in {shards} shards are as {manifest} says.")


@cli.command("import-gan")
@click.argument("pickle", type=_FILE)
@click.argument("out", type=_FILE)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME",
    help="The network's labels in order.  [default: CheXpert's 14]",
)
def import_gan_command(pickle: Path, out: Path, labels: tuple[str, ...]) -> None:
    """Convert a published TensorFlow pickle.

    network-final.pkl becomes safetensors; no TensorFlow is needed and no code from the pickle is
    run.
    """
    from builder.generators.tfpickle import convert
    from builder.labels import CHEXPERT

    made = convert(pickle, out, labels or CHEXPERT)
    click.echo(f"{out}: {made.design.resolution} pixels, labels {', '.join(made.design.labels)}.")
    if made.ignored:
        click.echo(f"Without effect on the images: {', '.join(made.ignored)}.")


@cli.command("fit-gan")
@click.argument("manifest", type=_FILE)
@click.option(
    "--out",
    type=_FILE,
    default=Path("gan.safetensors"),
    show_default=True,
    help="Where the weights go; card and run folder go beside.",
)
@click.option("--resolution", type=int, default=64, show_default=True, help="Pixels, 4 to 1024.")
@click.option(
    "--kimg",
    type=click.FloatRange(0, min_open=True),
    default=500,
    show_default=True,
    help="Thousands of real images to show.",
)
@click.option(
    "--loss",
    type=click.Choice(["logistic-r1", "wgan-gp"]),
    default="logistic-r1",
    show_default=True,
    help="The paper's is wgan-gp.",
)
@click.option(
    "--conditioning",
    type=click.Choice(["projection", "acgan"]),
    default="projection",
    show_default=True,
    help="How the discriminator knows the labels.",
)
@click.option("--diffaug/--no-diffaug", default=True, show_default=True, help="For small sets.")
@click.option("--grow/--no-grow", default=False, show_default=True, help="Progressive growing.")
@click.option(
    "--batch", type=click.IntRange(2), default=32, show_default=True, help="Images an iteration."
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=0.002,
    show_default=True,
    help="Learning rate of both networks.",
)
@click.option(
    "--gamma",
    type=click.FloatRange(0, min_open=True),
    show_default="0.0002 × resolution² / batch",
    help="Weight of R1.",
)
@click.option(
    "--fmap-base",
    type=click.IntRange(4),
    default=1024,
    show_default=True,
    help="Feature maps: min(base / 2^stage, max); the paper's base is 8192.",
)
@click.option(
    "--fmap-max",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="See --fmap-base; the paper's is 512.",
)
@click.option(
    "--latent-size",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="Latents; the paper has 512.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Of weights, latents and order.",
)
@click.option(
    "--snapshot-kimg",
    type=click.FloatRange(0, min_open=True),
    default=10,
    show_default=True,
    help="How often to save; a killed run goes on from there.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda …")
@click.option("--shards-root", type=_FOLDER, help="Where shards/ lies, if not beside manifests/.")
def fit_gan_command(
    manifest: Path,
    out: Path,
    snapshot_kimg: float,
    device: str,
    shards_root: Path | None,
    **settings: Any,
) -> None:
    """Train a generator on sealed real images.

    Only the real training images of MANIFEST are seen.
    Interrupted, it goes on from the last snapshot in gan.run/ when run again.
    """
    from builder import show
    from builder.fitgan.run import fit_gan, pick_device
    from builder.fitgan.settings import Settings

    fit_gan(
        manifest,
        out=out,
        settings=Settings(**{k: v for k, v in settings.items() if v is not None}),
        snapshot_kimg=snapshot_kimg,
        device=pick_device(device),
        root=shards_root,
        watch=show.progress,
    )
    click.echo(f"{out}; its card is {out.with_suffix('.card.md')}.")


def main() -> None:
    """Run xbuild; every failure the user can mend is one sentence and an exit code."""
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; run the same command to go on.", err=True)
        sys.exit(130)
    except UsageError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        click.echo(f"Error: {error.strerror or error}{where}; nothing complete is lost.", err=True)
        sys.exit(1)
