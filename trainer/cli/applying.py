"""Commands that apply weights to images: predict, cam."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from builder.contract import UsageError
from trainer.cli.options import OUT, machine, options_of, setting, shards_root
from trainer.cli.values import MachineOptions, cache_of

if TYPE_CHECKING:
    import torch

    from builder.contract.radiograph import BadImage
    from trainer.stream.locate import Located

weights_and_images = options_of(
    click.argument("weights", type=click.Path(path_type=Path, exists=True, dir_okay=False)),
    click.argument("images", nargs=-1, required=True, metavar="IMAGES|FOLDER|MANIFEST…"),
)


class How(TypedDict):
    """How images are read, and where they go through the network."""

    workers: int
    skip_bad: bool
    device: "torch.device"


@click.command()
@weights_and_images
@click.option(
    "--out",
    type=OUT,
    required=True,
    metavar="FILE",
    help="A .csv or .parquet file: a row per image, a column per pathology.",
)
@setting(
    "--split",
    click.Choice(["train", "val", "test", "all"]),
    "test",
    "Which images of a manifest to score.",
)
@setting("--batch", click.IntRange(1), 32, "Images that go through the network at a time.")
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
    from trainer.predict import predict_files, predict_shards

    how = how_of(options)
    if found := located(images, shards_root, options):
        done = predict_shards(weights, found, out=out, split=split, batch=batch, **how)
    else:
        done = predict_files(weights, [*map(Path, images)], out=out, batch=batch, **how)
    click.echo(f"Wrote {done.images:,} rows to {out}.")
    say_skipped(done.skipped)


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
@setting(
    "--split",
    click.Choice(["train", "val", "test"]),
    "test",
    "Where to take real images of a manifest from; synthetic ones are in train alone.",
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

    how, files = how_of(options), [*map(Path, images)]
    if found := located(images, shards_root, options):
        done = cam_shards(
            weights, found, out=out, pathologies=pathologies, images=count, split=split, **how
        )
    else:
        done = cam_files(weights, files, out=out, pathologies=pathologies, images=count, **how)
    click.echo(f"Wrote {len(done.cams)} maps to {out}: {', '.join(done.pathologies)}.")
    for pathology, note in done.notes.items():
        click.echo(f"{pathology}: {note}.", err=True)
    say_skipped(done.skipped)


def how_of(options: MachineOptions) -> How:
    """The device, proved to work, and how to read."""
    from trainer.fit.devices import pick_device

    device = pick_device(options["device"])
    return {"workers": options["workers"], "skip_bad": options["skip_bad"], "device": device}


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


def say_skipped(skipped: "Sequence[BadImage]") -> None:
    """Print which images were left out, and why."""
    for bad in skipped:
        click.echo(f"Left out: {bad.image}: {bad.reason}", err=True)
