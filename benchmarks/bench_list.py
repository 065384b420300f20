"""The benchmarks of bench.py: their commands, and the figures that they must reach."""

import re
from collections.abc import Callable
from dataclasses import dataclass

RATE, JPEG = "images/s", "write_shard, jpg q95"
IMAGES = "../shared/data/nih1k_224"  # radiographs
NOTHING = "nothing"
Tables = dict[str, dict[str, str]]  # rows by their first cell; cells by the name of their column
Measured = Callable[[Tables], float | None]  # None: it did not run


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A figure that a benchmark must reach."""

    what: str
    least: float
    measured: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A script, and the promises that its output answers beside those that it prints itself."""

    title: str
    command: str
    promises: tuple[Promise, ...] = ()
    instead: str = ""  # what it takes where there are no radiographs; "": it never takes any


def cell(row: str, column: str) -> Measured:
    """The number in a cell; the row is the first whose name begins so."""

    def read(tables: Tables) -> float | None:
        found = next((cells for name, cells in tables.items() if name.startswith(row)), {})
        return number(found.get(column, ""))

    return read


def quotient(one: Measured, other: Measured) -> Measured:
    """One figure over another."""

    def read(tables: Tables) -> float | None:
        first, second = one(tables), other(tables)
        return first / second if first and second else None

    return read


def ratio(row: str, other: str) -> Measured:
    """How many times as many images per second a row has as another."""
    return quotient(cell(row, RATE), cell(other, RATE))


def number(text: str) -> float | None:
    """The first number of a text."""
    found = re.search(r"\d[\d,]*(\.\d+)?", text)
    return float(found[0].replace(",", "")) if found else None


BENCHMARKS = {
    "stream": Benchmark(
        title="Shards into shuffled batches",
        command="python benchmarks/stream.py --images 4096 --repeats 3 --peers PYTHON",
        instead="phantoms",
    ),
    "write": Benchmark(
        title="Pixels into sealed shards",
        command=f"PYTHON benchmarks/write.py --images {IMAGES} --count 2000 --repeats 3",
        instead=NOTHING,
        promises=(
            Promise(
                what="JPEG, of encoding and writing alone",
                least=0.88,
                measured=ratio(JPEG, "limit: encode and write"),
            ),
            Promise(
                what="JPEG, × webdataset with the same encoder",
                least=1.8,
                measured=ratio(JPEG, "webdataset + simplejpeg"),
            ),
            Promise(
                what="JPEG, × MosaicML's MDSWriter",
                least=1.0,
                measured=ratio(JPEG, "MosaicML"),
            ),
            Promise(
                what="lossless, × webdataset's png",
                least=20,
                measured=ratio("write_shard, png", "webdataset, its png"),
            ),
            Promise(
                what="JPEG, two processes × one",
                least=1.8,
                measured=quotient(cell(JPEG, "2 processes"), cell(JPEG, RATE)),
            ),
        ),
    ),
    "host": Benchmark(
        title="Rendered images into JPEG members, by a generator of no cost",
        command="python benchmarks/render.py --generator free --image-size 224 --images 4096"
        " --repeats 5",
        instead="noise",
        promises=(
            Promise(
                what="images/s that arrive at 224 pixels",
                least=8_000,
                measured=cell("arriving at 224", RATE),
            ),
            Promise(
                what="images/s from 256 pixels on the CPU",
                least=2_500,
                measured=cell("arriving at 256", RATE),
            ),
        ),
    ),
    "fit": Benchmark(
        title="Training DenseNet-121",
        command="python benchmarks/fit.py",
        instead="phantoms",
        promises=(
            Promise(
                what="bf16, × the paper's loop",
                least=4.0,
                measured=cell("ours, bf16", "× the paper's loop"),
            ),
            Promise(
                what="fp32, × the paper's loop",
                least=2.3,
                measured=cell("ours, fp32", "× the paper's loop"),
            ),
        ),
    ),
    "fitgan": Benchmark(
        title="Training a generator",
        command="python benchmarks/fitgan.py --resolution 64 --networks small",
    ),
    "plan": Benchmark(title="Plans", command="python benchmarks/plan.py"),
    "pack": Benchmark(title="Packing real images", command="python benchmarks/pack.py"),
    "bootstrap": Benchmark(title="Intervals", command="python benchmarks/bootstrap.py"),
    "render": Benchmark(
        title="How much of a generator's speed reaches the disk",
        command="python benchmarks/render.py --generator nih64 --images 2048",
    ),
    "rows": Benchmark(
        title="A label table of ten million rows",
        command="python benchmarks/plan.py --rows 10000000",
    ),
    "memory": Benchmark(
        title="Memory of a build of 98,773 images", command="python benchmarks/memory.py"
    ),
    "kill": Benchmark(
        title="A build that is killed twenty times",
        command="python benchmarks/kill.py -- --dataset demo --regime 10 --image-size 64",
    ),
}
