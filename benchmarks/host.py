"""What the host does with images that cost nothing: resize, checks, JPEG, up to encoded members.

Called by render.py --generator free. A process on two cores; the three ways take turns:

- arriving at the size wanted, as from a GPU that resized them: threads check and encode;
- arriving larger, as from a CPU: threads resize, check and encode;
- the way before: the main thread resizes one by one with Pillow and checks, one thread encodes.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from builder import generators
from builder.checks import Redraws
from builder.checks.constant import reasons_against
from builder.contract import ImageSpec
from builder.contract.radiograph import resize
from builder.engines.jobs import synthetic_jobs
from builder.engines.painter import GeneratorPainter
from builder.recipe import GeneratorSpec, Layout
from builder.write.fill import Filling

REAL = Path(__file__).parents[2] / "shared/data/nih1k_224/images"
CORES = 2


class Free:
    """A generator of no cost: radiographs that exist already, again and again."""

    labels, latent_size = ("No Finding", "Mass", "Edema"), 4

    def __init__(self, images, image_size=None):
        self.images, self.resolution, self.image_size = images, images.shape[1], image_size
        if image_size:
            self.resolution = image_size

    def __call__(self, latents, labels):  # noqa: ARG002
        images = self.images[: len(latents)]
        if self.image_size is None:
            return images
        return np.stack([resize(image, self.image_size) for image in images])


class Nowhere:
    """A tar that counts what is written to it."""

    size = 0

    def write(self, *parts):
        self.size += sum(map(len, parts))

    def hexdigest(self):
        return "0" * 64

    def close(self):
        pass


def pictures(side, count=64):
    """uint8 [count, side, side]: real radiographs where they are, otherwise smooth noise."""
    files = sorted(REAL.glob("*.*"))[:count]
    if not files:
        coarse = np.random.default_rng(0).integers(0, 256, (count, 16, 16), dtype=np.uint8)
        files_or_noise = [Image.fromarray(each) for each in coarse]
    else:
        files_or_noise = [Image.open(file).convert("L") for file in files]
    small = [image.resize((side, side), Image.Resampling.BICUBIC) for image in files_or_noise]
    return np.stack([np.asarray(image) for image in small])[np.arange(count) % len(small)]


def seconds(generator, drawn, image_size, *, looking, encoding, batch):
    """(seconds, seconds of all cores) until the last member is encoded."""
    generators.load = lambda *_: generator
    spec = ImageSpec(height=image_size, width=image_size, codec="jpg", quality=95)
    with tempfile.TemporaryDirectory() as folder:
        painter = GeneratorPainter(
            generator=GeneratorSpec(name="free", image_size=image_size),
            layout=Layout(root=Path(folder), pathologies=generator.labels, image=spec),
            seed=0,
            batch=batch,
            judges=(reasons_against,),
            redraws=Redraws(draws_per_target=drawn.draws_per_target()),
            threads=looking,
        )
        jobs = synthetic_jobs(drawn, painter, shard_size=4096, threads=encoding)
        begin, busy = time.perf_counter(), time.process_time()
        for job in jobs:
            filling = Filling(job, Nowhere(), lambda _: None)
            filling.produce()
            filling.finish()
        return time.perf_counter() - begin, time.process_time() - busy


def measure(drawn, resolution, image_size, repeats, batch):
    """Print images/s of each way, and how much of two cores it takes."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    large, ready = pictures(resolution, batch), pictures(image_size, batch)
    ways = {
        f"arriving at {image_size} px": (Free(ready), CORES, CORES),
        f"arriving at {resolution} px": (Free(large), CORES, CORES),
        f"{resolution} px, the way before": (Free(large, image_size), 0, CORES - 1),
    }
    times = {way: [] for way in ways}
    for _ in range(repeats + 1):
        for way, (generator, looking, encoding) in ways.items():
            times[way].append(
                seconds(
                    generator,
                    drawn,
                    image_size,
                    looking=looking,
                    encoding=encoding,
                    batch=batch,
                )
            )
    print(f"{len(drawn):,} images of no cost, {CORES} cores, to JPEG of {image_size} px\n")
    print("| way | images/s | core-µs per image | images/s if both cores were free |")
    print("|---|---:|---:|---:|")
    for way, found in times.items():
        wall, busy = (statistics.median(column) for column in zip(*found[1:], strict=True))
        each = busy / len(drawn)
        print(f"| {way} | {len(drawn) / wall:,.0f} | {each * 1e6:.0f} | {CORES / each:,.0f} |")
