"""The batch loop: samples in, blocks of uint8 [B, H, W] pixels out.

While the host works on one batch, the device is already making the next.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from builder.contract import Bytes, CheckError, Sample
from builder.draw import latents
from builder.plugin import is_out_of_memory
from builder.render.batch import BATCH
from builder.render.device import on_gpu
from builder.render.generator import Finish, Floats, Generator, side_of, start_batch
from builder.render.label_map import LabelMap, shown_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image to be sealed: uint8 [H, W] and what was asked of it."""

    sample: Sample
    pixels: Bytes


def render(
    generator: Generator,
    samples: Iterable[Sample],
    *,
    pathologies: Sequence[str],
    image_size: int,
    seed: int,
    batch: int = BATCH,
    label_map: LabelMap = (),
    name: str = "",
) -> Iterator[Bytes]:
    """The pixels of the samples in order, in blocks uint8 [B, R, R] of at most `batch`.

    R is the generator's resolution, or `image_size` where the generator resizes on its device;
    elsewhere whoever encodes the images resizes them, in other threads. `samples` are taken as they
    are needed, up to two batches before their images are given. Every call of the generator has the
    shape [batch, ...], the last one padded, so that no pixel depends on how many images are asked
    for. Without enough memory, `batch` is halved on a CPU; on a GPU, where pixels depend on it,
    that is a CheckError, as is output that is no image; messages call the generator `name`.
    """
    todo = iter(samples)
    side = side_of(generator, image_size)
    under_way: deque[tuple[int, int, Finish]] = deque()

    def finish() -> Bytes:
        wanted, shape, get = under_way.popleft()
        images = get()
        _check_batch(images, (shape, side, side))
        return images[:wanted]

    while rows := list(islice(todo, batch)):
        latent = _latents(rows, generator.latent_size, seed)
        conditions = condition(rows, pathologies, generator.labels, label_map)
        while len(rows):
            try:
                get = start_batch(
                    generator, _padded(latent, batch), _padded(conditions, batch), image_size, name
                )
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                _check_halving(generator, batch)
                while under_way:
                    yield finish()
                batch //= 2
                continue
            under_way.append((len(rows[:batch]), batch, get))
            rows, latent, conditions = rows[batch:], latent[batch:], conditions[batch:]
            if len(under_way) == 2:
                yield finish()
    while under_way:
        yield finish()


def _check_halving(generator: Generator, batch: int) -> None:
    """CheckError where half a batch is no way on."""
    if batch == 1:
        raise CheckError("The device has not enough memory for a single image.") from None
    if on_gpu(generator):
        raise CheckError(
            f"The GPU has not enough memory for {batch} images at a time, and pixels depend on "
            "that number: free its memory and run the same command to go on, or begin again with "
            f"--batch {batch // 2} (or auto) in another --out."
        ) from None


def condition(
    samples: Sequence[Sample],
    pathologies: Sequence[str],
    wanted: Sequence[str],
    label_map: LabelMap = (),
) -> Floats:
    """float32 [B, len(wanted)]: 1 where the sample is positive for a pathology shown by that label.

    Labels show the pathologies of their names, and those that are mapped to them.
    """
    known = np.array([sample.labels for sample in samples], dtype=np.int8)
    out = np.zeros((len(samples), len(wanted)), dtype=np.float32)
    for column, name in enumerate(wanted):
        out[:, column] = (known[:, shown_by(name, pathologies, label_map)] == 1).any(axis=1)
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
