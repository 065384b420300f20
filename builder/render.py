"""The Generator protocol and the batch loop: samples in, uint8 [H, W] pixels out.

While the host looks at one batch, the device is already making the next.

A generator is any object with the three attributes and the call below. It is named by the
recipe, found through the entry points of group `cxr_rebalance.generators`, and knows nothing of
plans, draws or files.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt

from builder.contract import Bytes, CheckError, Sample, UsageError
from builder.contract.radiograph import resize
from builder.draw import latents
from builder.labels import find_pathology

BATCH = 64  # samples per call unless told otherwise: pixels may depend on the batch's shape
MOST_BATCH = 1024
_WORTH = 1.05  # a batch twice as large must be this much faster
_PATIENCE = 2.0  # seconds for a batch above which no larger one is tried

Floats = npt.NDArray[np.float32]
Finish = Callable[[], npt.NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image to be sealed: uint8 [H, W] and what was asked of it."""

    sample: Sample
    pixels: Bytes


class Generator(Protocol):
    """A conditional image generator.

    Four things it may have besides: `unseen`, labels that no training image had, refused as
    targets; `software`, the distributions on whose versions pixels depend; `device`, "cuda" where
    it renders on a GPU; and `start(latents, labels)`, which begins a batch on the device without
    waiting for it and returns a function that gives its images.
    """

    labels: tuple[str, ...]  # names of the condition's entries, in order
    resolution: int  # pixels on a side
    latent_size: int

    def __call__(self, latents: Floats, labels: Floats) -> npt.NDArray[np.uint8]:
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
    samples: Iterable[Sample],
    *,
    pathologies: Sequence[str],
    image_size: int,
    seed: int,
    batch: int = BATCH,
) -> Iterator[Bytes]:
    """The pixels of each sample in order, uint8 [image_size, image_size].

    `samples` are taken as they are needed, up to two batches before their images are given. Every
    call to the generator has the shape [batch, ...], the last one padded, so that a pixel does not
    depend on how many images are asked for; `batch` is halved when the device is out of memory.
    CheckError on output that is no image.
    """
    todo = iter(samples)
    under_way: deque[tuple[int, int, Finish]] = deque()

    def finish() -> Iterator[Bytes]:
        wanted, shape, get = under_way.popleft()
        images = get()
        _check_batch(images, (shape, generator.resolution, generator.resolution))
        for image in islice(images, wanted):
            yield resize(image, image_size)

    while rows := list(islice(todo, batch)):
        latent = _latents(rows, generator.latent_size, seed)
        conditions = condition(rows, pathologies, generator.labels)
        while len(rows):
            try:
                get = _start(generator, _padded(latent, batch), _padded(conditions, batch))
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                if batch == 1:
                    raise CheckError("The device has not the memory for a single image.") from None
                while under_way:
                    yield from finish()
                batch //= 2
                continue
            under_way.append((len(rows[:batch]), batch, get))
            rows, latent, conditions = rows[batch:], latent[batch:], conditions[batch:]
            if len(under_way) == 2:
                yield from finish()
    while under_way:
        yield from finish()


def best_batch(generator: Generator, clock: Callable[[], float] = time.perf_counter) -> int:
    """The batch size of the most images/s: doubled from BATCH while that pays and memory lasts."""
    best, rate = BATCH, 0.0
    size = BATCH
    while size <= MOST_BATCH:
        latents = np.zeros((size, generator.latent_size), np.float32)
        labels = np.zeros((size, len(generator.labels)), np.float32)
        try:
            begin = clock()
            generator(latents, labels)  # warms up
            if clock() - begin > _PATIENCE:
                break
            begin = clock()
            for get in [_start(generator, latents, labels) for _ in range(3)]:
                get()
            now = 3 * size / (clock() - begin)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            break
        if now < _WORTH * rate:
            break
        best, rate, size = size, now, 2 * size
    return best


def _start(generator: Generator, latents: Floats, labels: Floats) -> Finish:
    if (start := getattr(generator, "start", None)) is not None:
        finish: Finish = start(latents, labels)
        return finish
    images = generator(latents, labels)
    return lambda: images


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether it is torch's OutOfMemoryError, which is not imported for its name."""
    return type(error).__name__ == "OutOfMemoryError"


def condition(
    samples: Sequence[Sample], pathologies: Sequence[str], wanted: Sequence[str]
) -> Floats:
    """float32 [B, len(wanted)]: 1 where the sample is positive for that label, matched by name."""
    known = np.array([sample.labels for sample in samples], dtype=np.int8)
    out = np.zeros((len(samples), len(wanted)), dtype=np.float32)
    for column, name in enumerate(wanted):
        if (match := find_pathology(name, pathologies)) is not None:
            out[:, column] = known[:, list(pathologies).index(match)] == 1
    return out


def _latents(samples: Sequence[Sample], size: int, seed: int) -> Floats:
    out = np.empty((len(samples), size), dtype=np.float32)
    targets = np.array([sample.target for sample in samples])
    for target in dict.fromkeys(targets.tolist()):
        places = np.flatnonzero(targets == target).tolist()
        numbers = [samples[i].draw for i in places]
        out[places] = latents(numbers, size, seed=seed, name=target)
    return out


def _padded(rows: Floats, batch: int) -> Floats:
    if len(rows) >= batch:
        return rows[:batch]
    return np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows), axis=0)])


def _check_batch(images: object, expected: tuple[int, int, int]) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != expected:
        found = getattr(images, "shape", None), getattr(images, "dtype", type(images).__name__)
        raise CheckError(f"The generator returned {found}; expected uint8 {expected}.")
