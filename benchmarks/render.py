"""How much of the generator's speed reaches the disk.

    python benchmarks/render.py                             # pggan, the paper's size
    python benchmarks/render.py --generator nih64 --images 4096
    python benchmarks/render.py --image-size 224            # sealed at another size
    python benchmarks/render.py --generator free --image-size 224 --images 4096  # the host alone

Three ways render the same images with one process, in turns; figures are medians of --repeats.

- forward only: the generator is called batch by batch, two batches at a time; images are discarded;
- the pipeline: the same through `write_each`: resize, checks, JPEG, tar, sha256, fsync, index row;
- the paper's way: batch 1, one JPEG file per image, written by Pillow.

The arithmetic of the forward pass (FLOPs counted by torch) is compared with the rate of a large
matrix product on the same device.
"""

import argparse
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from host import Free, measure, pictures
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from builder import generators
from builder.checks import Redraws
from builder.checks.constant import reasons_against
from builder.contract import ImageSpec
from builder.contract.radiograph import resize
from builder.draw import draw, latents
from builder.engines.jobs import synthetic_jobs
from builder.engines.local import LocalEngine
from builder.engines.painter import GeneratorPainter
from builder.fitgan.networks import GeneratorNetwork
from builder.fitgan.run import export
from builder.fitgan.settings import Settings
from builder.plan import plan_balance
from builder.recipe import Layout, Request
from builder.render import condition, default_batch
from builder.write import write_each

LABELS = ("No Finding", "Mass", "Edema")


def paper_sized(folder, resolution):
    """A .safetensors of the paper's architecture with random weights."""
    settings = Settings(resolution=resolution, fmap_base=8192, fmap_max=512, latent_size=512)
    network = GeneratorNetwork(settings.design(LABELS), torch.Generator().manual_seed(0))
    path = folder / "paper.safetensors"
    path.write_bytes(export(network, ()))
    return str(path)


def drawn(count):
    """`count` samples of one target."""
    labels = np.zeros((count, len(LABELS)), np.int8)
    labels[: count // 100 + 1, 1] = 1
    plan = plan_balance(labels, targets=[1], share=Fraction(1, 2), names=["Mass"])
    return draw(replace(plan, render=(count,)), labels, "bench")


class Ways:
    """The same images in each of the three ways."""

    def __init__(self, spec, size, count, batch, folder):
        self.spec, self.size, self.count, self.batch, self.folder = spec, size, count, batch, folder
        generator = generators.load(spec.name, spec.image_size, spec.options)
        self.generator = generator
        self.drawn = drawn(count)
        samples = list(self.drawn.samples(0, count))
        self.conditions = condition(samples, LABELS, generator.labels)
        numbers = [sample.draw for sample in samples]
        self.latents = latents(numbers, generator.latent_size, seed=0, name="Mass")
        self.threads = LocalEngine.of(generator, workers=1).threads
        self.runs = 0

    def forward_only(self):
        start = getattr(self.generator, "start", None)
        under_way = []
        for i in range(0, self.count, self.batch):
            rows = slice(i, i + self.batch)
            if start is None:
                self.generator(self.latents[rows], self.conditions[rows])
                continue
            under_way.append(start(self.latents[rows], self.conditions[rows]))
            if len(under_way) == 2:
                under_way.pop(0)()
        for finish in under_way:
            finish()

    def pipeline(self):
        self.runs += 1
        spec = ImageSpec(height=self.size, width=self.size, codec="jpg", quality=95)
        painter = GeneratorPainter(
            generator=self.spec,
            layout=Layout(root=self.folder / f"run{self.runs}", pathologies=LABELS, image=spec),
            seed=0,
            batch=self.batch,
            judges=(reasons_against,),
            redraws=Redraws(draws_per_target=self.drawn.draws_per_target()),
            threads=self.threads,
        )
        jobs = synthetic_jobs(self.drawn, painter, shard_size=4096, threads=self.threads)
        for _ in write_each(jobs):
            pass

    def papers_way(self, count):
        place = self.folder / "files"
        place.mkdir(exist_ok=True)
        for i in range(count):
            (image,) = self.generator(self.latents[i : i + 1], self.conditions[i : i + 1])
            image = resize(image, self.size)
            Image.fromarray(image).save(place / f"{i}.jpg", quality=95)


def seconds(function, *arguments):
    begin = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begin


def matmul_rate(device, dtype):
    """FLOP/s of a large matrix product."""
    size = 8192 if device.type == "cuda" else 2048
    a = torch.randn(size, size, device=device, dtype=dtype)
    (a @ a).sum().item()
    begin = time.perf_counter()
    for _ in range(5):
        b = a @ a
    b.sum().item()
    return 5 * 2 * size**3 / (time.perf_counter() - begin)


def flops(generator, ways):
    with FlopCounterMode(display=False) as counter:
        generator(ways.latents[:1], ways.conditions[:1])
    return counter.get_total_flops()


def watched(function):
    """Mean utilisation of the GPU in per cent while the function runs."""
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    seen, done = [], threading.Event()

    def look():
        while not done.wait(0.2):
            found = subprocess.run(command, capture_output=True, text=True, check=True)
            seen.append(float(found.stdout.split()[0]))

    watcher = threading.Thread(target=look)
    watcher.start()
    function()
    done.set()
    watcher.join()
    return statistics.mean(seen)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="", help="name, file or free")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--image-size", type=int, help="of the sealed images")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16"])
    return parser.parse_args()


def prepared(options, folder):
    """The ways, with a whole number of batches so that nothing is padded."""
    spec = Request(
        dataset="demo",
        generator=options.generator or paper_sized(folder, options.resolution),
        image_size=options.resolution,
        precision=options.precision,
    ).generator_spec()
    generator = generators.load(spec.name, spec.image_size, spec.options)
    batch = options.batch or default_batch(generator)
    size = options.image_size or generator.resolution
    return Ways(spec, size, -(-options.images // batch) * batch, batch, folder)


def measured_rates(ways, repeats):
    """Images per second of each way, in turns."""
    few = max(ways.count // 8, 1)
    times = {"forward only": [], "the pipeline": [], "the paper's way": []}
    ways.forward_only()
    for _ in range(repeats):
        times["forward only"].append(seconds(ways.forward_only) / ways.count)
        times["the pipeline"].append(seconds(ways.pipeline) / ways.count)
        times["the paper's way"].append(seconds(ways.papers_way, few) / few)
    return {way: 1 / statistics.median(each) for way, each in times.items()}


def show(ways, rates, precision):
    forward = rates["forward only"]
    print(f"{ways.generator.resolution} → {ways.size} pixels, batch {ways.batch}, {precision}\n")
    print("| way | images/s | of forward only |\n|---|---:|---:|")
    for way, rate in rates.items():
        print(f"| {way} | {rate:,.1f} | {rate / forward:.2f} |")
    device = torch.device(getattr(ways.generator, "device", "cpu"))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    each = flops(ways.generator, ways)
    share = each * forward / matmul_rate(device, dtype)
    print(f"\n{each / 1e9:.2f} GFLOP per image; forward: {share:.2f} of a matrix product's rate")
    if device.type == "cuda":
        print(f"GPU utilisation along the pipeline: {watched(ways.pipeline):.0f} %")


def main():
    options = arguments()
    if options.generator == "free":
        size = options.image_size or 224
        batch = options.batch or default_batch(Free(pictures(size, 1)))
        measure(drawn(options.images), options.resolution, size, options.repeats, batch)
        return
    with tempfile.TemporaryDirectory() as folder:
        ways = prepared(options, Path(folder))
        show(ways, measured_rates(ways, options.repeats), options.precision)


if __name__ == "__main__":
    main()
