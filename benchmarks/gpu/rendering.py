"""Does a generator make on the GPU what it makes on the CPU, and the same every time?"""

from pathlib import Path

import numpy as np
import torch
from scene import Finding, holds, not_run, within

from builder import generators
from builder.contract import CheckError, Sample
from builder.contract.radiograph import resize
from builder.generators import nih64, pggan
from builder.render import best_batch, default_batch, render
from builder.render.lanczos import resize_on_device

WEIGHTS = Path(nih64.__file__).with_suffix(".safetensors")


def inputs(generator, count):
    random = np.random.default_rng(0)
    latents = random.standard_normal((count, generator.latent_size), dtype=np.float32)
    return latents, random.integers(0, 2, (count, len(generator.labels))).astype(np.float32)


def apart(one, other):
    """Greys between two sets of images, each."""
    return np.abs(one.astype(int) - other)


def correct(scene):
    """nih64 in each precision; the resize on the device; memory that does not suffice."""
    exact = generators.load("nih64", 64)
    latents, labels = inputs(exact, 64 if scene.gpu else 4)
    images = exact(latents, labels)
    line = "fp32 on the GPU against the CPU: greys apart"
    if scene.gpu:
        on_cpu = pggan.PgganGenerator(*pggan._read(WEIGHTS), torch.device("cpu"))
        yield within(line, apart(images, on_cpu(latents, labels)).max(), 1, "{}")
        coarse = generators.load("nih64", 64, (("precision", "tf32"),))
        yield within("tf32: mean greys from fp32", apart(images, coarse(latents, labels)).mean(), 1)
    else:
        yield not_run(line)
        yield not_run("tf32: mean greys from fp32", "TF32 is a GPU's; here it is fp32")
    coarse = generators.load("nih64", 64, (("precision", "bf16"),))
    yield within("bf16: mean greys from fp32", apart(images, coarse(latents, labels)).mean(), 1)
    yield holds("the same batch twice is equal", np.array_equal(images, exact(latents, labels)))
    yield from batches(scene, exact)
    yield from resized(scene)
    yield from memory(scene, exact)


def batches(scene, generator):
    """The share of pixels on which two batch sizes disagree: it is why the batch is noted."""
    small, large = (64, 256) if scene.gpu else (4, 8)
    latents, labels = inputs(generator, large)
    parts = range(0, large, small)
    made = [generator(latents[i : i + small], labels[i : i + small]) for i in parts]
    share = (np.concatenate(made) != generator(latents, labels)).mean()
    yield Finding(
        line=f"pixels that differ between batches of {small} and {large}", found=f"{share:.2e}"
    )


def resized(scene):
    """256 → 224 and 512 → 224, noise and extremes."""
    random = np.random.default_rng(1)
    count = 16 if scene.gpu else 4
    for side in (256, 512):
        images = random.integers(0, 256, (count, side, side), dtype=np.uint8)
        images[::2] = np.where(images[::2] < 128, 0, 255)
        found = resize_on_device(torch.from_numpy(images).to(scene.device), 224).cpu().numpy()
        expected = np.stack([resize(image, 224) for image in images])
        yield holds(
            f"{side} → 224 on the {scene.device} has the bits of Pillow",
            np.array_equal(found, expected),
        )


def memory(scene, generator):
    """With too little memory the trial goes down, and a build is refused in one sentence."""
    lines = ("too little memory: the trial goes down", "too little memory: a build is refused")
    if not scene.gpu:
        yield from map(not_run, lines)
        return
    batch = default_batch(generator)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    generator(*inputs(generator, batch))
    peak = torch.cuda.max_memory_allocated()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.6 * peak / whole)
    try:
        found = best_batch(generator)
        yield holds(lines[0], found < batch, f"from {batch} to {found}")
        sample = Sample(
            key="x-mass-0000000", split="train", origin="synthetic", target="Mass", draw=0,
            patient="", labels=(1,),
        )  # fmt: skip
        try:
            asked = {"pathologies": ["Mass"], "image_size": 64, "seed": 0, "batch": batch}
            list(render(generator, [sample], **asked))
            yield holds(lines[1], False)
        except CheckError as error:
            yield holds(lines[1], "--batch" in str(error), str(error))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
