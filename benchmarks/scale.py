"""What a build costs as it grows: seconds and memory of each step, a model, and its predictions.

    python benchmarks/scale.py --rows 10000 100000 1000000 10000000 --regimes 1 10 50 100 \\
        --times 10 100 --picture docs/scale/curves.png

Each step is a command as a user runs it, in a process of its own: CPU seconds, and the memory of
its largest process. Phantoms of 16 pixels cost next to nothing, so what is seen is what grows with
the number of images beside rendering and encoding. The model of each step is start + slope × size,
by least squares of relative errors. Shards are small (--shard-size), so that there are many of
them. Predictions name what was measured here and what is assumed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from memory import children, rss

from builder.contract import (
    Index,
    index_bytes,
    load_index,
    load_manifest,
    save_manifest,
    sha256_bytes,
)
from builder.labels import CHEXPERT, read_labels

DEMO = ("--dataset", "demo", "--real", "none", "--image-size", "16")
OPEN = (
    "import sys; from trainer.stream.locate import locate_folder; locate_folder(sys.argv[1], None)"
)
MILLIONS = 10  # the dataset that is predicted, in 10⁶ images
GPUS = (1, 8, 64)
ASSUMED = (100, 1_000, 4_000)  # images/s of one GPU; no GPU has run this code
ENCODE = 190e-6  # core-seconds for an image of 224 pixels; benchmarks/render.py --generator free
KB = 14.4  # of a JPEG of 224 pixels in its shard; benchmarks/write.py
SHARD = 4096  # images, the default


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One command: how much it was given, and what it took."""

    size: int
    seconds: float  # of the wall clock
    cpu: float  # seconds of all cores
    memory: float  # MB of its largest process


Points = dict[str, list[Point]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """start + slope × size."""

    start: float
    slope: float

    def __call__(self, size: float) -> float:
        return self.start + self.slope * size


def xbuild(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("xbuild")), *words]


def run(size: int, command: list[str]) -> Point:
    """The command, once."""
    begin, memory = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while (
        True
    ):  # the kernel's own maximum counts this process, too, from before it became the other
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        memory = max(memory, *map(rss, children(process.pid)))
        time.sleep(0.05)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    return Point(
        size=size,
        seconds=time.perf_counter() - begin,
        cpu=used.ru_utime + used.ru_stime,
        memory=memory / 1e6,
    )


def table_of(rows: int, path: Path) -> None:
    """A CSV with CheXpert's pathologies at their prevalences; three images of each patient."""
    random = np.random.default_rng(0)
    prevalence = (read_labels("chexpert").labels == 1).mean(axis=0)
    columns = {name: random.random(rows) < p for name, p in zip(CHEXPERT, prevalence, strict=True)}
    frame = pd.DataFrame({name: column.astype(np.int8) for name, column in columns.items()})
    frame.insert(0, "image", [f"{i}.png" for i in range(rows)])
    frame.insert(1, "patient", random.integers(0, max(rows // 3, 1), rows))
    frame.to_csv(path, index=False)


def plans(rows: list[int], folder: Path) -> Points:
    """`xbuild plan` on tables of so many rows."""
    points = defaultdict(list)
    for count in rows:
        table_of(count, folder / "labels.csv")
        words = xbuild("plan", "--dataset", "table", "--labels", str(folder / "labels.csv"))
        points["plan"].append(run(count, words))
    return points


def builds(regimes: list[str], shard_size: int, folder: Path) -> Points:
    """`xbuild synth`, `seal` of what is complete, `verify`, and opening the dataset to train."""
    points = defaultdict(list)
    for regime in regimes:
        out = folder / f"regime{regime}"
        words = (*DEMO, "--regime", regime, "--shard-size", str(shard_size), "--out", str(out))
        made = run(0, xbuild("synth", *words, "--workers", "1"))
        path = out / f"manifests/gan{regime}.json"
        size = load_manifest(path).index.rows
        points["synth"].append(
            Point(size=size, seconds=made.seconds, cpu=made.cpu, memory=made.memory)
        )
        path.unlink()
        points["seal"].append(run(size, xbuild("seal", *words)))
        points["verify"].append(run(size, xbuild("verify", str(path))))
        points["open to train"].append(run(size, [sys.executable, "-c", OPEN, str(path)]))
    return points


def repeated(path: Path, times: int) -> Path:
    """The dataset so many times over, as manifest and index alone; every key is another one."""
    manifest = load_manifest(path)
    index = load_index(manifest, path.parents[1])
    columns = {name: np.concatenate([getattr(index, name)] * times) for name in Index.__slots__}
    for name, word in (("key", "{}-{}"), ("shard", "{1}-{0}")):
        old = getattr(index, name)
        words = [{w: word.format(w, i) for w in {*old.tolist()}} for i in range(times)]
        columns[name] = np.array([made[w] for made in words for w in old], object)
    shards = [
        replace(shard, url=f"{i}-{shard.url}") for i in range(times) for shard in manifest.shardlist
    ]
    data = index_bytes(Index(**columns), manifest.pathologies)
    many = path.parents[1] / f"times{times}" / "manifests" / path.name
    many.parent.mkdir(parents=True)
    many.with_suffix(".parquet").write_bytes(data)
    entry = replace(manifest.index, rows=len(index) * times, sha256=sha256_bytes(data))
    save_manifest(replace(manifest, index=entry, shardlist=tuple(shards)), many)
    return many


def openings(times: list[int], regimes: list[str], folder: Path) -> Points:
    """Opening the largest dataset to train, so many times over."""
    largest = max(regimes, key=float)
    path = folder / f"regime{largest}/manifests/gan{largest}.json"
    points = defaultdict(list)
    for count in times:
        many = repeated(path, count)
        size = load_manifest(many).index.rows
        points["open to train"].append(run(size, [sys.executable, "-c", OPEN, str(many)]))
    return points


def parts(counts: list[int], shard_size: int, folder: Path) -> dict[int, float]:
    """CPU seconds of a build of 9,825 images in so many parts, one after another."""
    found = {}
    for count in counts:
        out = ("--shard-size", str(shard_size), "--out", str(folder / f"parts{count}"))
        words = (*DEMO, "--regime", "10", *out, "--workers", "1")
        each = [f"{i}/{count}" for i in range(1, count + 1)]
        found[count] = sum(run(0, xbuild("synth", *words, "--part", part)).cpu for part in each)
    return found


def fitted(points: list[Point], of: str) -> Line:
    """Least squares of relative errors; no slope is negative."""
    sizes = np.array([point.size for point in points], float)
    values: npt.NDArray[np.float64] = np.array([getattr(point, of) for point in points], float)
    weights = 1 / values
    matrix = np.stack([np.ones_like(sizes), sizes], axis=1) * weights[:, None]
    (start, slope), *_ = np.linalg.lstsq(matrix, values * weights, rcond=None)
    return Line(start=float(start), slope=max(float(slope), 0.0))


def show_points(points: Points) -> None:
    print("| step | rows or images | seconds | CPU seconds | MB |\n|---|---:|---:|---:|---:|")
    for step, found in points.items():
        for point in found:
            figures = f"{point.seconds:,.1f} | {point.cpu:,.1f} | {point.memory:,.0f}"
            print(f"| {step} | {point.size:,} | {figures} |")


def show_model(points: Points) -> dict[str, Line]:
    """Prints and returns the CPU seconds of each step."""
    print("\n| step | CPU s | + CPU µs each | MB | + bytes each |\n|---|---:|---:|---:|---:|")
    models = {}
    for step, found in points.items():
        if len(found) > 1:
            models[step], memory = fitted(found, "cpu"), fitted(found, "memory")
            time_, space = models[step], memory
            print(
                f"| {step} | {time_.start:.1f} | {time_.slope * 1e6:.1f} | {space.start:,.0f} | "
                f"{space.slope * 1e6:,.0f} |"
            )
    return models


def show_predictions(models: dict[str, Line]) -> None:
    """What MILLIONS of images cost; rendering is assumed, everything else is by the model."""
    images = MILLIONS * 10**6
    shards = -(-images // SHARD)
    print(f"\n{images:,} images of 224 pixels: {images * KB / 1e9:.2f} TB in {shards:,} shards.\n")
    print("| a GPU renders | 1 GPU, hours | 8 GPUs | 64 GPUs | cores that encode, for each GPU |")
    print("|---:|---:|---:|---:|---:|")
    alone = sum(models[step](images) for step in ("plan", "seal") if step in models) / 3600
    for rate in ASSUMED:
        hours = " | ".join(f"{images / rate / gpus / 3600 + alone:,.1f}" for gpus in GPUS)
        print(f"| {rate:,}/s | {hours} | {rate * ENCODE:.1f} |")
    print(f"\nOf it {alone:.1f} hours are planning and sealing, which one process does alone.")


def draw(points: Points, models: dict[str, Line], path: Path) -> None:
    """CPU seconds and memory against size, with the models."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for step, found in points.items():
        sizes = np.array([point.size for point in found], float)
        (dots,) = axes[0].loglog(sizes, [point.cpu for point in found], "o", label=step)
        axes[1].loglog(sizes, [point.memory for point in found], "o-", color=dots.get_color())
        if step in models:
            grid = np.geomspace(sizes.min(), 1e7, 50)
            axes[0].loglog(grid, models[step](grid), "-", color=dots.get_color(), linewidth=1)
    axes[0].set(xlabel="rows or images", ylabel="CPU seconds", title="dots measured, lines fitted")
    axes[1].set(xlabel="rows or images", ylabel="MB of the largest process")
    axes[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--regimes", nargs="+", default=["1", "10", "50"])
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument(
        "--times", type=int, nargs="+", default=[10], help="the largest index so often, opened"
    )
    parser.add_argument("--shard-size", type=int, default=256)
    parser.add_argument("--picture", type=Path, help="where to draw the curves")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        points = plans(options.rows, folder) | builds(options.regimes, options.shard_size, folder)
        for step, more in openings(options.times, options.regimes, folder).items():
            points[step] += more
        by_parts = parts(options.parts, options.shard_size, folder)
    show_points(points)
    models = show_model(points)
    print("\n| parts of 9,825 images | CPU seconds of all |\n|---:|---:|")
    for count, cpu in by_parts.items():
        print(f"| {count} | {cpu:.1f} |")
    show_predictions(models)
    if options.picture:
        draw(points, models, options.picture)


if __name__ == "__main__":
    main()
