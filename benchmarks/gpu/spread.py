"""For which batch and learning rate do twenty steps tell right arithmetic from wrong?

    OMP_NUM_THREADS=1 python benchmarks/gpu/spread.py --batch 8 --batch 32

The check `step` compares the mean loss of twenty steps with float32's, and its limit is 2 %. For
each batch and rate this prints the largest difference over the seeds by the images in another order
alone, and in bfloat16 in either order; and the smallest by a network that does not learn. Float32
and bfloat16 on the CPU, 32 pixels.
"""

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from steps import STEPS, apart, losses  # noqa: E402 — after the path is set


def differences(batch, rate, seed):
    """(other order, bfloat16 in either order, no learning)."""
    same = {"batch": batch, "rate": rate, "seed": seed}
    exact = losses("cpu", "fp32", 32, **same)
    coarse = [losses("cpu", "bf16", 32, **same, reordered=order) for order in (False, True)]
    return (
        apart(losses("cpu", "fp32", 32, **same, reordered=True), exact),
        max(apart(each, exact) for each in coarse),
        apart([exact[0]] * STEPS, exact),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--rate", type=float, action="append")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print("| batch | rate | other order | bf16 | no learning |\n|---:|---:|---:|---:|---:|")
    for batch in options.batch or [32]:
        for rate in options.rate or [1e-3, 1e-2]:
            found = [differences(batch, rate, seed) for seed in range(options.seeds)]
            order, coarse, idle = zip(*found, strict=True)
            row = (f"{max(order):.2%}", f"{max(coarse):.2%}", f"{min(idle):.0%}")
            print(f"| {batch} | {rate:g} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
