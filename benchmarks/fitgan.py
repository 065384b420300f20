"""What training a generator costs: measured speeds, and the hours that follow from them.

    python benchmarks/fitgan.py --resolution 32 --resolution 64 --resolution 128
    git worktree add /tmp/before 05271f7
    python benchmarks/fitgan.py --resolution 64 --networks small --against /tmp/before

Trains on noise at each resolution, with fit-gan's default networks, smaller ones and the paper's,
in float32 and in bfloat16, and in float32 by another version in the folder --against. Each
contender is a process, and they take turns in one run: what else the machine does disturbs all
alike. On a busy CPU look at images per second of the cores' time, with OMP_NUM_THREADS=1. Prints
medians, ratios to the first contender turn by turn, arithmetic per image (FLOPs of all passes
except R1's) and the hours for 500 kimg.
The model: hours = images × FLOPs per image / (measured FLOP/s).
"""

import argparse
import importlib
import importlib.util
import json
import statistics
import time
from dataclasses import fields

import torch
from torch.utils.flop_counter import FlopCounterMode
from versions import Contender, serve

from builder.fitgan.data import Reals
from builder.fitgan.losses import R1_EVERY
from builder.fitgan.run import pick_device
from builder.fitgan.settings import Settings
from builder.fitgan.train import iterate, make_networks

older = importlib.util.find_spec("builder.fitgan.distributed") is None  # it had another name
join = importlib.import_module(f"builder.fitgan.{'team' if older else 'distributed'}").join

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


def contend(asked):
    """Serve turns of whichever version this process imports.

    A turn is images/s, images per second of the cores' time, and FLOPs per image.
    """
    known = {field.name for field in fields(Settings)}  # older versions have no precision
    settings = Settings(**{k: v for k, v in asked["settings"].items() if k in known})
    with join(pick_device(asked["device"]), settings.batch) as (ranks, device):
        networks = make_networks(settings, LABELS, device)
        iterations = iterate(networks, noise(settings.resolution), settings, ranks)
        next(iterations)
        with FlopCounterMode(display=False) as counter:  # it cannot count R1's iteration
            next(iterations)
        flops = counter.get_total_flops() / settings.batch

        def timed(iteration):
            networks.iteration = iteration
            start, busy = time.perf_counter(), time.process_time()
            next(iterations)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return time.perf_counter() - start, time.process_time() - busy

        def turn():
            r1, plain = timed(R1_EVERY), timed(1)
            each = [(r + (R1_EVERY - 1) * p) / R1_EVERY for r, p in zip(r1, plain, strict=True)]
            return [*(settings.batch / seconds for seconds in each), flops]

        serve(turn)


def measure(contenders, repeats):
    """What each contender found in each of its turns: [repeats] of what `contend` serves."""
    found = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            found[name].append(contender.turn())
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, action="append")
    parser.add_argument("--networks", choices=DESIGNS, action="append")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", action="append", help="default: fp32 and bf16")
    parser.add_argument("--against", help="a checkout of another version, for the first contender")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        contend(json.loads(options.serve))
        return
    print(
        "| pixels | networks | contender | images/s | × | images per core-second | × |"
        " GFLOP/image | GFLOP/s | hours |"
    )
    print("|---:|---|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for resolution in options.resolution or [64]:
        for name in options.networks or DESIGNS:
            compare(resolution, name, options)


def compare(resolution, networks, options):
    """Print a row for each contender."""

    def asked(precision):
        settings = {"resolution": resolution, "precision": precision, **DESIGNS[networks]}
        return {"settings": settings, "device": options.device}

    contenders = {}
    if options.against:
        contenders["before"] = Contender(__file__, asked("fp32"), options.against)
    for precision in options.precision or ["fp32", "bf16"]:
        contenders[precision] = Contender(__file__, asked(precision))
    turns = measure(contenders, options.repeats)
    first = next(iter(turns.values()))
    for name, found in turns.items():
        wall, core, flops = (statistics.median(column) for column in zip(*found, strict=True))
        ratios = [
            statistics.median(own[i] / base[i] for own, base in zip(found, first, strict=True))
            for i in range(2)
        ]
        contenders[name].close()
        print(
            f"| {resolution} | {networks} | {name} | {wall:.1f} | {ratios[0]:.2f} | {core:.1f} | "
            f"{ratios[1]:.2f} | {flops / 1e9:.2f} | {wall * flops / 1e9:.0f} | "
            f"{KIMG * 1000 / wall / 3600:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
