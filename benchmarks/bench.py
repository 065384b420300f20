"""Every benchmark of this machine on one page: ours, the limit, each peer, and each promise.

    make bench                                                 # all of them, half an hour
    python benchmarks/bench.py --only stream --peers PYTHON    # one of them again

Each runs by its own command, one after another. docs/benchmarks.md holds what they print, word for
word, and above it a table of the promises, which is computed from these blocks alone. With --only,
the other blocks stay as they are. `PYTHON` is the interpreter of a venv with the peers that need
other packages than we do (benchmarks/stream.py says which). Let no other work run beside.
"""

import argparse
import datetime
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stream_report import machine

from builder.contract.cores import usable_cores

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/benchmarks.md"
RATE, JPEG = "images/s", "write_shard, jpg q95"
IMAGES = "../shared/data/nih1k_224"
Tables = dict[str, dict[str, str]]  # rows by their first cell; cells by the name of their column
Measured = Callable[[Tables], float | None]  # None: it did not run

INTRO = """# Benchmarks

Every figure here is of one machine. Absolute rates differ from machine to machine. The ratios are
the promises: all contenders of a benchmark read or write the same images and take turns. Each
section has its command and what it printed. `make bench` runs all of them.

## Promises

| promise | at least | measured | | benchmark |
|---|---:|---:|---|---|
"""


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
    ),
    "write": Benchmark(
        title="Pixels into sealed shards",
        command=f"PYTHON benchmarks/write.py --images {IMAGES} --count 2000 --repeats 3",
        promises=(
            Promise(
                what="JPEG, of encoding and writing alone",
                least=0.88,
                measured=cell(JPEG, "× encode and write"),
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


def tables_of(text: str) -> Tables:
    """The rows of all Markdown tables in a text."""
    rows: Tables = {}
    columns: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            columns = []
            continue
        cells = [part.strip() for part in line.strip().strip("|").split("|")]
        if not columns:
            columns = cells
        elif set(line) - set("|-: "):
            rows[cells[0]] = dict(zip(columns, cells, strict=False))
    return rows


def run(name: str, peers: str) -> str:
    """The section of a benchmark that runs now."""
    command = BENCHMARKS[name].command
    words = shlex.split(command.replace("--peers PYTHON", f"--peers {peers}" if peers else ""))
    words[0] = (peers or sys.executable) if words[0] == "PYTHON" else sys.executable
    print(f"{name}: {command}", file=sys.stderr, flush=True)
    begin = time.perf_counter()
    done = subprocess.run(
        words, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    seconds = time.perf_counter() - begin
    printed = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())
    where = f"{machine(list(range(usable_cores())))}, {datetime.date.today()}, {seconds:.0f} s"
    return f"`{command}`\n\n{where}.\n\n```\n{printed}\n```\n"


def environment() -> dict[str, str]:
    """The checkout's packages come first, for the interpreter of the peers, too."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


def sections_of(page: str) -> dict[str, str]:
    """What the page says of each benchmark that it has."""
    parts = re.split(r"^## (.+)\n\n", page, flags=re.MULTILINE)[1:]
    names = {benchmark.title: name for name, benchmark in BENCHMARKS.items()}
    found = zip(parts[::2], parts[1::2], strict=True)
    return {names[title]: body.strip("\n") + "\n" for title, body in found if title in names}


def page_of(sections: dict[str, str]) -> str:
    """The whole page; benchmarks that never ran are named."""
    rows = []
    for name, benchmark in BENCHMARKS.items():
        tables = tables_of(sections.get(name, ""))
        rows += [
            promise_row(benchmark, what, number(cells["promised"]), number(cells["measured"]))
            for what, cells in tables.items()
            if "promised" in cells
        ]
        rows += [
            promise_row(benchmark, promise.what, promise.least, promise.measured(tables))
            for promise in benchmark.promises
        ]
    missing = [BENCHMARKS[name].title for name in BENCHMARKS if name not in sections]
    bodies = [f"## {BENCHMARKS[n].title}\n\n{sections[n]}" for n in BENCHMARKS if n in sections]
    not_run = f"\nNot run: {', '.join(missing)}.\n" if missing else ""
    return INTRO + "".join(rows) + not_run + "\n" + "\n".join(bodies)


def promise_row(
    benchmark: Benchmark, what: str, least: float | None, measured: float | None
) -> str:
    kept = "not run"
    if least is not None and measured is not None:
        kept = "met" if measured >= least else "**not met**"
    anchor = re.sub(r"[^a-z0-9 -]", "", benchmark.title.lower()).replace(" ", "-")
    figures = f"{shown(least)} | {shown(measured)} | {kept}"
    where = benchmark.title if kept == "not run" else f"[{benchmark.title}](#{anchor})"
    return f"| {what} | {figures} | {where} |\n"  # a section that is not there has no anchor


def shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=[*BENCHMARKS], default=[])
    parser.add_argument("--peers", default="", metavar="PYTHON", help="an interpreter with peers")
    options = parser.parse_args()
    sections = sections_of(PAGE.read_text()) if PAGE.exists() else {}
    for name in options.only or BENCHMARKS:
        sections[name] = run(name, options.peers)
        PAGE.write_text(page_of(sections))  # what ran stays, if the next one fails


if __name__ == "__main__":
    main()
