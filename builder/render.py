"""The Generator protocol and the batch loop: samples in, uint8 [H, W] pixels out.

A generator is any object with the three attributes and the call below. It is named by the
recipe, found through the entry points of group `cxr_rebalance.generators`, and knows nothing of
plans, draws or files.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from builder.contract import Bytes, CheckError, Sample, UsageError
from builder.draw import latents
from builder.labels import find_pathology

BATCH = 64  # samples per call, the same for every build: pixels may depend on the batch's shape


class Generator(Protocol):
    """A conditional image generator.

    It may have an attribute `unseen`: labels that no training image had, refused as targets.
    """

    labels: tuple[str, ...]  # names of the condition's entries, in order
    resolution: int  # pixels on a side
    latent_size: int

    def __call__(
        self, latents: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        """uint8 [B, H, W] from standard normal [B, Z] and conditions [B, L], 1 = present."""


def check_generator(
    generator: Generator,
    *,
    name: str,
    targets: Sequence[str],
    image_size: int,
    upsample: bool = False,
) -> None:
    """Raise UsageError unless `generator` can show every target at `image_size` pixels."""
    for target in targets:
        if find_pathology(target, generator.labels) is None:
            raise UsageError(
                f"The generator {name} cannot show {target}: it knows "
                f"{', '.join(generator.labels)}."
            )
        if find_pathology(target, getattr(generator, "unseen", ())) is not None:
            raise UsageError(
                f"The generator {name} has never seen {target}: no image it was trained on had it."
            )
    if generator.resolution < image_size and not upsample:
        raise UsageError(
            f"The generator {name} makes {generator.resolution} pixels and --image-size asks for "
            f"{image_size}: use --image-size {generator.resolution}, or --upsample if a classifier "
            "may learn that blurry means rare."
        )


def render(
    generator: Generator,
    samples: Sequence[Sample],
    *,
    pathologies: Sequence[str],
    image_size: int,
    seed: int,
) -> Iterator[Bytes]:
    """The pixels of each sample in order, uint8 [image_size, image_size].

    Every call to the generator has the shape [BATCH, ...], the last one padded, so that a pixel
    does not depend on how many images are asked for. CheckError on output that is no image.
    """
    conditions = condition(samples, pathologies, generator.labels)
    latent = _latents(samples, generator.latent_size, seed)
    for start in range(0, len(samples), BATCH):
        batch = slice(start, start + BATCH)
        wanted = len(samples[batch])
        images = generator(_padded(latent[batch]), _padded(conditions[batch]))
        _check_batch(images, generator.resolution)
        for image, sample in zip(islice(images, wanted), samples[batch], strict=True):
            if image.min() == image.max():
                raise CheckError(f"The generator made a constant image for {sample.key}: stopped.")
            yield resize(image, image_size)


def condition(
    samples: Sequence[Sample], pathologies: Sequence[str], wanted: Sequence[str]
) -> npt.NDArray[np.float32]:
    """float32 [B, len(wanted)]: 1 where the sample is positive for that label, matched by name."""
    known = np.array([sample.labels for sample in samples], dtype=np.int8)
    out = np.zeros((len(samples), len(wanted)), dtype=np.float32)
    for column, name in enumerate(wanted):
        if (match := find_pathology(name, pathologies)) is not None:
            out[:, column] = known[:, list(pathologies).index(match)] == 1
    return out


def resize(image: Bytes, size: int) -> Bytes:
    """uint8 [size, size] by Lanczos with antialiasing, as real images; itself at that size."""
    if image.shape == (size, size):
        return image
    small = Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small)


def _latents(samples: Sequence[Sample], size: int, seed: int) -> npt.NDArray[np.float32]:
    out = np.empty((len(samples), size), dtype=np.float32)
    targets = np.array([sample.target for sample in samples])
    for target in dict.fromkeys(targets.tolist()):
        places = np.flatnonzero(targets == target).tolist()
        numbers = [samples[i].draw for i in places]
        out[places] = latents(numbers, size, seed=seed, name=target)
    return out


def _padded(batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if len(batch) == BATCH:
        return batch
    return np.concatenate([batch, np.repeat(batch[-1:], BATCH - len(batch), axis=0)])


def _check_batch(images: object, resolution: int) -> None:
    expected = (BATCH, resolution, resolution)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != expected:
        found = getattr(images, "shape", None), getattr(images, "dtype", type(images).__name__)
        raise CheckError(f"The generator returned {found}; expected uint8 {expected}.")
