"""Commands that apply weights to images: predict, cam."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from builder.contract import UsageError
from trainer.cli.options import (
    OUT,
    machine,
    options_of,
    shards_root,
)
from trainer.cli.values import (
    MachineOptions,
    cache_of,
)

if TYPE_CHECKING:
    from trainer.stream.locate import Located

weights_and_images = options_of(
    click.argument("weights", type=click.Path(path_type=Path, exists=True, dir_okay=False)),
    click.argument("images", nargs=-1, required=True, metavar="IMAGES|FOLDER|MANIFEST…"),
)


@click.command()
@weights_and_images
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
    help="Which images of a manifest to score.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Images that go through the network at a time.",
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
    **options: Unpack[MachineOptions],
) -> None:
    """Apply weights to images and write probabilities.

    WEIGHTS is the best.safetensors of a run. The images are PNG or JPEG files, folders of them, or
    one manifest with its shards; files are prepared as they are for training.
    """
    from trainer.fit.devices import pick_device
    from trainer.predict.probabilities import predict_files, predict_shards

    device = pick_device(options["device"])
    if found := located(images, shards_root, options):
        done = predict_shards(
            weights,
            found,
            split=split,
            out=out,
            batch=batch,
            workers=options["workers"],
            device=device,
            skip_bad=options["skip_bad"],
        )
    else:
        files = [Path(image) for image in images]
        done = predict_files(
            weights,
            files,
            out=out,
            batch=batch,
            workers=options["workers"],
            device=device,
            skip_bad=options["skip_bad"],
        )
    click.echo(f"Wrote {done.images:,} rows to {out}.")
    for bad in done.skipped:
        click.echo(f"Left out: {bad.image}: {bad.reason}", err=True)


@click.command()
@weights_and_images
@click.option(
    "--out", type=OUT, required=True, metavar="FILE", help="The .png file to write the sheet to."
)
@click.option(
    "--pathology",
    "pathologies",
    multiple=True,
    metavar="NAME",
    help="Pathology of a row of the sheet; repeatable.  [default: the targets of the plan; for "
    "files, all]",
)
@click.option(
    "--images",
    "count",
    type=click.IntRange(1, 12),
    help="Images of each pathology.  [default: 4, or all files that are named]",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Where to take real images of a manifest from; synthetic ones are in train alone.",
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
    **options: Unpack[MachineOptions],
) -> None:
    """Draw what in an image speaks for or against a pathology.

    WEIGHTS is the best.safetensors of a run. The class activation maps lie over PNG or JPEG files,
    over the first files of a folder, or over positive images of a manifest, half of them synthetic.
    Those are chosen at random, never by their score.
    """
    from trainer.cam import cam_files, cam_shards
    from trainer.fit.devices import pick_device

    device = pick_device(options["device"])
    if found := located(images, shards_root, options):
        done = cam_shards(
            weights,
            found,
            split=split,
            pathologies=pathologies,
            images=count,
            out=out,
            workers=options["workers"],
            device=device,
            skip_bad=options["skip_bad"],
        )
    else:
        files = [Path(image) for image in images]
        done = cam_files(
            weights,
            files,
            pathologies=pathologies,
            images=count,
            out=out,
            workers=options["workers"],
            device=device,
            skip_bad=options["skip_bad"],
        )
    click.echo(f"Wrote {len(done.cams)} maps to {out}: {', '.join(done.pathologies)}.")
    for pathology, note in done.notes.items():
        click.echo(f"{pathology}: {note}.", err=True)
    for bad in done.skipped:
        click.echo(f"Left out: {bad.image}: {bad.reason}", err=True)


def located(
    images: Sequence[str], shards_root: str | None, options: MachineOptions
) -> "Located | None":
    """The dataset whose manifest is the only one of `images`; None where they are image files."""
    if any(image.endswith(".json") for image in images):
        if len(images) > 1:
            raise UsageError("Name one manifest at a time, without other images.")
        from trainer.stream.locate import locate

        return locate(images[0], shards_root, cache_of(options))
    if urls := [image for image in images if "://" in image]:
        raise UsageError(f"{urls[0]} is a URL, which only a manifest may be: fetch it first.")
    return None
