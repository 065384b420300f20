"""What training a generator costs: measured speeds, and the hours that follow from them.

    python benchmarks/fitgan.py --resolution 32 --resolution 64 --resolution 128

Trains on noise for at least --seconds at each resolution, with fit-gan's default networks, smaller
ones and the paper's. Prints images/s, arithmetic per image (FLOPs of all passes except R1's) and
the hours for 500 kimg. The model: hours = images × FLOPs per image / (measured FLOP/s).
"""

import argparse
import statistics
import time
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from builder.fitgan.data import Reals
from builder.fitgan.distributed import join
from builder.fitgan.losses import R1_EVERY
from builder.fitgan.run import pick_device
from builder.fitgan.settings import Settings
from builder.fitgan.train import iterate, make_networks

LABELS = tuple(f"label {i}" for i in range(14))
DESIGNS = {
    "default": {},
    "small": {"fmap_base": 512},
    "paper": {"fmap_base": 8192, "fmap_max": 512, "latent_size": 512},
}
KIMG = 500


def noise(resolution):
    """Reals of random pixels and labels."""
    random = torch.Generator().manual_seed(0)
    shape = (256, resolution, resolution)
    return Reals(
        images=torch.randint(256, shape, dtype=torch.uint8, generator=random),
        labels=torch.randint(2, (256, len(LABELS)), generator=random).float(),
        pathologies=LABELS,
        patients=256,
        patients_sha256="",
        rows_of=tuple(torch.arange(256) for _ in LABELS),
    )


def measure(settings, device, seconds):
    """(images/s, FLOPs per image)."""
    reals = noise(settings.resolution)
    with join(device, settings.batch) as (ranks, device):
        networks = make_networks(settings, LABELS, device)
        iterations = iterate(networks, reals, settings, ranks)
        next(iterations)  # warms up
        with FlopCounterMode(display=False) as counter:  # it cannot count R1's iteration
            next(iterations)
        each = {"plain": [], "r1": []}
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds or not each["plain"] or not each["r1"]:
            for kind, iteration in (("plain", 1), ("r1", R1_EVERY)):
                networks.iteration = iteration
                start = time.perf_counter()
                next(iterations)  # it reads the losses, so the device has finished
                each[kind].append(time.perf_counter() - start)
        plain, r1 = (statistics.median(times) for times in each.values())

    seconds_each = (r1 + (R1_EVERY - 1) * plain) / R1_EVERY / settings.batch
    return 1 / seconds_each, counter.get_total_flops() / settings.batch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, action="append", required=True)
    parser.add_argument("--networks", choices=DESIGNS, action="append")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = pick_device(options.device)
    print("| pixels | networks | images/s | GFLOP/image | GFLOP/s | hours for 500 kimg |")
    print("|---:|---|---:|---:|---:|---:|", flush=True)
    for resolution in options.resolution:
        for name in options.networks or DESIGNS:
            settings = replace(Settings(resolution=resolution), **DESIGNS[name])
            rate, flops = measure(settings, device, options.seconds)
            hours = KIMG * 1000 / rate / 3600
            print(
                f"| {resolution} | {name} | {rate:.1f} | {flops / 1e9:.2f} | "
                f"{rate * flops / 1e9:.0f} | {hours:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
