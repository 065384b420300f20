"""Every benchmark of this machine on one page: ours, the limit, each peer, and each promise.

    make bench                                                 # all of them, half an hour
    python benchmarks/bench.py --only stream --peers PYTHON    # one of them again

Each runs by its own command, one after another. docs/benchmarks.md holds what they print, word for
word, and above it a table of the promises, which is computed from these blocks alone. With --only,
the other blocks stay as they are. `PYTHON` is the interpreter of a venv with the peers that need
other packages than we do (benchmarks/stream.py says which). Let no other work run beside.

A benchmark that fails ends the command, exit code 1; what ran before it is on the page.
"""

import argparse
import datetime
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from bench_list import BENCHMARKS, IMAGES, NOTHING, Benchmark, Tables, number
from stream_report import machine

from builder.contract.cores import usable_cores

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/benchmarks.md"
LOGS = ROOT / "build/bench"  # what a benchmark printed before it failed

INTRO = """# Benchmarks

Every figure here is of one machine. Absolute rates differ from machine to machine. The ratios are
the promises: all contenders of a benchmark read or write the same images and take turns, but the
paper's way reads larger files. Each section has its command and what it printed. `make bench` runs
all of them.

The images are radiographs of 224 pixels in `../shared/data/nih1k_224`. `write.py` does not run
without them. `stream.py` and `fit.py` then take phantoms, and `render.py --generator free` takes
noise. This changes the figures, so the section says it.

## Promises

`stream.py` says itself whether a promise is met, before it rounds the figures.

| promise | at least | measured | | benchmark |
|---|---:|---:|---|---|
"""


class FailedError(Exception):
    """A benchmark that did not end well, in one sentence."""


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


def has_images() -> bool:
    """Whether the radiographs are there."""
    return any((ROOT / IMAGES / "images").glob("*.jpg"))


def refusal(names: Iterable[str]) -> str | None:
    """Why these benchmarks cannot run; None where they can."""
    unable = [name for name in names if BENCHMARKS[name].instead == NOTHING]
    if not unable or has_images():
        return None
    return (
        f"{', '.join(unable)} needs radiographs in {IMAGES}/images and there are none: put them"
        " there, or name the other benchmarks, each with --only."
    )


def run(name: str, peers: str) -> str:
    """The section of a benchmark that runs now; FailedError where it fails."""
    command, instead = BENCHMARKS[name].command, BENCHMARKS[name].instead
    words = shlex.split(command.replace("--peers PYTHON", f"--peers {peers}" if peers else ""))
    words[0] = (peers or sys.executable) if words[0] == "PYTHON" else sys.executable
    print(f"{name}: {command}", file=sys.stderr, flush=True)
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            words, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=False
        )
    except OSError as error:
        raise FailedError(f"{command} did not start: {words[0]}: {error.strerror}.") from None
    if done.returncode:
        log = LOGS / f"{name}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout)
        raise FailedError(
            f"{command} failed with exit code {done.returncode}: its errors are above, what it"
            f" printed before is in {os.path.relpath(log)}, and what ran before it is in"
            f" {os.path.relpath(PAGE)}."
        )
    seconds = time.perf_counter() - begin
    printed = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())
    where = f"{machine(list(range(usable_cores())))}, {datetime.date.today()}, {seconds:.0f} s"
    if instead and not has_images():
        where += f", with {instead} in place of radiographs"
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
        for what, cells in tables.items():
            if "promised" in cells:  # its verdict is printed, too: of figures not yet rounded
                least, measured = number(cells["promised"]), number(cells["measured"])
                verdict = cells[""].replace("NOT MET", "**not met**")
                rows.append(promise_row(benchmark, what, least, measured, verdict))
        for promise in benchmark.promises:
            least, measured = promise.least, promise.measured(tables)
            verdict = verdict_of(least, measured)
            rows.append(promise_row(benchmark, promise.what, least, measured, verdict))
    missing = [BENCHMARKS[name].title for name in BENCHMARKS if name not in sections]
    bodies = [f"## {BENCHMARKS[n].title}\n\n{sections[n]}" for n in BENCHMARKS if n in sections]
    not_run = f"\nNot run: {', '.join(missing)}.\n" if missing else ""
    return INTRO + "".join(rows) + not_run + "\n" + "\n".join(bodies)


def verdict_of(least: float, measured: float | None) -> str:
    """Whether a promise is kept."""
    if measured is None:
        return "not run"
    return "met" if measured >= least else "**not met**"


def promise_row(
    benchmark: Benchmark, what: str, least: float | None, measured: float | None, verdict: str
) -> str:
    anchor = re.sub(r"[^a-z0-9 -]", "", benchmark.title.lower()).replace(" ", "-")
    figures = f"{shown(least)} | {shown(measured)} | {verdict}"
    where = benchmark.title if verdict == "not run" else f"[{benchmark.title}](#{anchor})"
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
    names = options.only or [*BENCHMARKS]
    if why := refusal(names):
        parser.exit(2, f"{why}\n")
    sections = sections_of(PAGE.read_text()) if PAGE.exists() else {}
    for name in names:
        try:
            sections[name] = run(name, options.peers)
        except FailedError as error:
            sys.exit(str(error))
        PAGE.write_text(page_of(sections))  # what ran stays, if the next one fails


if __name__ == "__main__":
    main()
