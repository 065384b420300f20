"""Commands that apply weights to images: predict, cam."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from builder.contract import UsageError
from trainer.cli.options import OUT, cache_of, machine, shards_root


@click.command()
@click.argument("weights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("images", nargs=-1, required=True, metavar="IMAGES|FOLDER|MANIFEST…")
@click.option(
    "--out",
    type=OUT,
    required=True,
    metavar="FILE",
    help="A .csv or .parquet file: a row per image, a column per pathology.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test", "all"]),
    default="test",
    show_default=True,
    help="Of a manifest.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=32, show_default=True, help="Images at a time."
)
@shards_root
@machine
def predict(
    weights: Path,
    images: tuple[str, ...],
    out: Path,
    split: str,
    batch: int,
    shards_root: str | None,
    **options: Any,
) -> None:
    """Apply the WEIGHTS of a run (best.safetensors) to images, and write probabilities.

    Images are PNG or JPEG files, folders of them, or one manifest with its shards; files are
    prepared as they are for training.
    """
    from trainer.fit.devices import pick_device
    from trainer.predict.probabilities import predict_files, predict_shards

    how = {name: options[name] for name in ("workers", "skip_bad")} | {"out": out}
    how |= {"batch": batch, "device": pick_device(options["device"])}
    if found := located(images, shards_root, options):
        done = predict_shards(weights, found, split=split, **how)
    else:
        done = predict_files(weights, [Path(image) for image in images], **how)
    click.echo(f"Wrote {done.images:,} rows to {out}.")
    for bad in done.skipped:
        click.echo(f"Left out: {bad.image}: {bad.reason}", err=True)


@click.command()
@click.argument("weights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("images", nargs=-1, required=True, metavar="IMAGES|FOLDER|MANIFEST…")
@click.option("--out", type=OUT, required=True, metavar="FILE", help="A .png file.")
@click.option(
    "--pathology",
    "pathologies",
    multiple=True,
    metavar="NAME",
    help="A row of the sheet; repeatable.  [default: the plan's targets; of files, all]",
)
@click.option(
    "--images",
    "count",
    type=click.IntRange(1, 12),
    help="How many of each pathology.  [default: 4, or all files that are named]",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Of a manifest: where real images are taken from; synthetic ones are in train alone.",
)
@shards_root
@machine
def cam(
    weights: Path,
    images: tuple[str, ...],
    out: Path,
    pathologies: tuple[str, ...],
    count: int | None,
    split: str,
    shards_root: str | None,
    **options: Any,
) -> None:
    """Draw what speaks for a pathology in images, and what against it, by the WEIGHTS of a run.

    Class activation maps over PNG or JPEG files, the first files of a folder, or positive images
    of a manifest, half of them synthetic; those are drawn by lot, never by their score.
    """
    from trainer.cam import cam_files, cam_shards
    from trainer.fit.devices import pick_device

    how = {name: options[name] for name in ("workers", "skip_bad")} | {"out": out}
    how |= {"pathologies": pathologies, "images": count, "device": pick_device(options["device"])}
    if found := located(images, shards_root, options):
        done = cam_shards(weights, found, split=split, **how)
    else:
        done = cam_files(weights, [Path(image) for image in images], **how)
    click.echo(f"Wrote {len(done.cams)} maps to {out}: {', '.join(done.pathologies)}.")
    for pathology, note in done.notes.items():
        click.echo(f"{pathology}: {note}.", err=True)
    for bad in done.skipped:
        click.echo(f"Left out: {bad.image}: {bad.reason}", err=True)


def located(images: Sequence[str], shards_root: str | None, options: dict[str, Any]) -> Any:
    """The dataset whose manifest is the only one of `images`; None where they are image files."""
    if any(image.endswith(".json") for image in images):
        if len(images) > 1:
            raise UsageError("Name one manifest at a time, without other images beside it.")
        from trainer.stream.locate import locate

        return locate(images[0], shards_root, cache_of(options))
    if urls := [image for image in images if "://" in image]:
        raise UsageError(f"{urls[0]} is a URL, which only a manifest may be: fetch it first.")
    return None
