"""Commands that apply weights to images: predict, cam."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click
from click.core import ParameterSource

from builder.contract import UsageError
from trainer.cli.options import OUT, WEIGHTS, machine, options_of, setting, shards_root
from trainer.cli.terminal import echo
from trainer.cli.values import MachineOptions, cache_of

if TYPE_CHECKING:
    import torch

    from builder.contract.radiograph import BadImage, Reading, Window
    from trainer.stream.locate import Located

weights_and_images = options_of(
    click.argument("weights", type=WEIGHTS),
    click.argument("images", nargs=-1, required=True, metavar="IMAGES|FOLDER|MANIFEST…"),
)
file_reading = options_of(
    click.option(
        "--depth",
        type=click.IntRange(8, 16),
        help="Bits of grey that 16-bit files use, such as 12; one rule for all images."
        "  [default: what DICOM says, otherwise the full range or a refusal]",
    ),
    click.option(
        "--window",
        type=click.Choice(["dicom", "full", "percentile"]),
        help="Greys of DICOM files that are shown: the file's own window, all that are stored, or"
        " all but the darkest and brightest.  [default: dicom]",
    ),
    click.option(
        "--upsample", is_flag=True, help="Enlarge images that are smaller than those of training."
    ),
)


class ReadingOptions(MachineOptions):
    """The values of `machine` and `file_reading`."""

    depth: int | None
    window: "Window | None"
    upsample: bool


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
@click.option(
    "--batch",
    type=click.IntRange(1),
    help="Images that go through the network at a time.  [default: 32, on a GPU 256]",
)
@file_reading
@shards_root
@machine
def predict(
    weights: Path,
    images: tuple[str, ...],
    out: Path,
    split: str,
    batch: int | None,
    shards_root: str | None,
    **options: Unpack[ReadingOptions],
) -> None:
    """Apply weights to images and write probabilities.

    WEIGHTS is the best.safetensors of a run. The images are PNG, JPEG, TIFF or DICOM files, one
    folder of them, or one manifest with its shards. Files are prepared as they are for training:
    give --depth and --window as they were given to xbuild.
    """
    from trainer.predict import predict_files, predict_shards

    how, reading = how_of(options), reading_of(options, images)
    if found := located(images, shards_root, options):
        done = predict_shards(weights, found, out=out, split=split, batch=batch, **how)
    else:
        files = [*map(Path, images)]
        done = predict_files(weights, files, reading=reading, out=out, batch=batch, **how)
    echo(f"Wrote {done.images:,} rows to {out}.")
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
@file_reading
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
    **options: Unpack[ReadingOptions],
) -> None:
    """Draw what in an image speaks for or against a pathology.

    WEIGHTS is the best.safetensors of a run. The class activation maps lie over image files, over
    the first files of a folder, or over positive images of a manifest, half of them synthetic.
    Those are chosen at random, never by their score.
    """
    from trainer.cam import cam_files, cam_shards

    how, reading = how_of(options), reading_of(options, images)
    if found := located(images, shards_root, options):
        done = cam_shards(
            weights, found, out=out, pathologies=pathologies, images=count, split=split, **how
        )
    else:
        done = cam_files(
            weights,
            [*map(Path, images)],
            reading=reading,
            out=out,
            pathologies=pathologies,
            images=count,
            **how,
        )
    echo(f"Wrote {len(done.cams)} maps to {out}: {', '.join(done.pathologies)}.")
    for pathology, note in done.notes.items():
        echo(f"{pathology}: {note}.", err=True)
    say_skipped(done.skipped)


def how_of(options: MachineOptions) -> How:
    """The device, proved to work, and how to read."""
    from trainer.fit.devices import pick_device

    device = pick_device(options["device"])
    return {"workers": options["workers"], "skip_bad": options["skip_bad"], "device": device}


def reading_of(options: ReadingOptions, images: Sequence[str]) -> "Reading":
    """How image files are read; UsageError where that is asked of a manifest."""
    from builder.contract.radiograph import Reading

    depth, window, upsample = options["depth"], options["window"], options["upsample"]
    given = {"--depth": depth, "--window": window, "--upsample": upsample}
    asked = [name for name, value in given.items() if value]
    if asked and is_manifest(images):
        raise UsageError(
            f"{asked[0]} is for image files: the images of a manifest are sealed as xbuild read"
            " them."
        )
    context = click.get_current_context()
    for name in () if is_manifest(images) else ("split", "shards_root"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is for the images of a manifest: {images[0]} is none.")
    return Reading(depth=depth, window=window or "dicom", upsample=upsample)


def is_manifest(images: Sequence[str]) -> bool:
    """Whether a manifest is among what the command was given."""
    return any(image.endswith(".json") for image in images)


def located(
    images: Sequence[str], shards_root: str | None, options: MachineOptions
) -> "Located | None":
    """The dataset whose manifest is the only one of `images`; None where they are image files."""
    if is_manifest(images):
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
        echo(f"Left out: {bad.image}: {bad.reason}", err=True)
