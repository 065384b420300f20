"""Commands that make a generator: import-gan, fit-gan."""

from pathlib import Path
from typing import Any

import click

from builder.cli.environment import option
from builder.cli.options import FILE, Range, seed, shards_root
from builder.cli.terminal import echo
from builder.contract.precision import ASKED_PRECISIONS

KIMG = Range(0, 100_000, min_open=True)  # thousands of images; a longer training never ends


@click.command()
@click.argument("pickle", type=FILE)
@click.argument("out", type=FILE)
@option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME",
    help="Label of the network; repeat in its order.  [default: CheXpert's 14]",
)
def import_gan(pickle: Path, out: Path, labels: tuple[str, ...]) -> None:
    """Convert a published TensorFlow pickle.

    PICKLE, a network-final.pkl, becomes the .safetensors file OUT. TensorFlow is not needed, and no
    code from the pickle is run.
    """
    from builder.generators.tfpickle import convert
    from builder.labels import CHEXPERT

    made = convert(pickle, out, labels or CHEXPERT)
    echo(f"{out}: {made.design.resolution} pixels, labels {', '.join(made.design.labels)}.")
    if made.ignored:
        echo(f"Without effect on the images: {', '.join(made.ignored)}.")


@click.command()
@click.argument("manifest", type=FILE)
@option(
    "--out",
    type=FILE,
    default=Path("gan.safetensors"),
    show_default=True,
    help="File for the weights; the card and the folder of the run lie next to it.",
)
@option(
    "--resolution", type=int, default=64, show_default=True, help="Pixels on a side, 4 to 1024."
)
@option(
    "--kimg",
    type=KIMG,
    default=500,
    show_default=True,
    help="Length of the training, in thousands of real images shown.",
)
@option(
    "--loss",
    type=click.Choice(["logistic-r1", "wgan-gp"]),
    default="logistic-r1",
    show_default=True,
    help="Loss of both networks; the paper has wgan-gp.",
)
@option(
    "--conditioning",
    type=click.Choice(["projection", "acgan"]),
    default="projection",
    show_default=True,
    help="How the discriminator uses the labels.",
)
@option(
    "--diffaug/--no-diffaug",
    default=True,
    show_default=True,
    help="Differentiable augmentation, for small datasets.",
)
@option(
    "--grow/--no-grow",
    default=False,
    show_default=True,
    help="Progressive growing: train at few pixels first, and fade in more.",
)
@option(
    "--grow-from",
    type=int,
    default=4,
    show_default=True,
    help="Pixels on a side at which --grow begins.",
)
@option(
    "--grow-kimg",
    type=KIMG,
    show_default="such that the first half grows",
    help="Length of a stage of --grow; half of it fades a resolution in, half trains on it.",
)
@option(
    "--batch",
    type=click.IntRange(2),
    default=32,
    show_default=True,
    help="Images per iteration: an even number, with torchrun a multiple of 4 for each process.",
)
@option(
    "--lr",
    type=Range(0, min_open=True),
    default=0.002,
    show_default=True,
    help="Learning rate of both networks.",
)
@option(
    "--lr-decay",
    type=Range(0, 1),
    default=0,
    show_default=True,
    help="Last share of the run, in which the learning rate falls to 0. Before that begins, the "
    "same run may be given another --kimg.",
)
@option(
    "--gamma",
    type=Range(0, min_open=True),
    show_default="0.0002 × resolution² / batch",
    help="Weight of the R1 penalty.",
)
@option(
    "--fmap-base",
    type=click.IntRange(4),
    default=1024,
    show_default=True,
    help="Feature maps of a stage: min(base / 2^stage, max); the paper has 8192.",
)
@option(
    "--fmap-max",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="Largest number of feature maps, see --fmap-base; the paper has 512.",
)
@option(
    "--latent-size",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="Size of the latent; the paper has 512.",
)
@option(
    "--seed",
    type=seed,
    default="0",
    show_default=True,
    metavar="NUMBER",
    help="Seed of the weights, the latents and the order of images.",
)
@option(
    "--snapshot-kimg",
    type=KIMG,
    default=10,
    show_default=True,
    help="Thousands of images between snapshots, from which a killed run resumes.",
)
@option(
    "--compile/--no-compile",
    default=False,
    show_default=True,
    help="Compile the networks with torch.compile, on a GPU; not with --grow.",
)
@option(
    "--precision",
    type=click.Choice(ASKED_PRECISIONS),
    default="auto",
    show_default=True,
    help="Precision of the products. auto: bf16 on a GPU that has it, and on a CPU that has it and "
    "is faster with it in a trial of seconds, otherwise fp32. A resumed run keeps its own.",
)
@option(
    "--device",
    default="auto",
    show_default=True,
    help="Device to train on: auto, cpu, cuda or cuda:N.",
)
@shards_root
def fit_gan(
    manifest: Path,
    out: Path,
    snapshot_kimg: float,
    device: str,
    shards_root: Path | None,
    **settings: Any,
) -> None:
    """Train a generator on sealed real images.

    Only the real training images of MANIFEST are used. After an interruption, the same command
    resumes from the last snapshot in gan.run/.
    """
    from builder.fitgan.run import fit_gan as train
    from builder.fitgan.run import pick_device
    from builder.fitgan.settings import Settings
    from builder.progress import progress

    train(
        manifest,
        out=out,
        settings=Settings(**{k: v for k, v in settings.items() if v is not None}),
        snapshot_kimg=snapshot_kimg,
        device=pick_device(device),
        root=shards_root,
        progress=progress,
    )
    echo(f"{out}; its card is {out.with_suffix('.card.md')}.")
