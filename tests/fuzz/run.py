"""Every target of tests/fuzz for its share of the time, in processes of their own.

    python tests/fuzz/run.py --minutes 20

Each target gets LEAST inputs first, whatever one costs, and then an equal share of the time that is
left. Coverage leads the way where atheris is installed, chance alone elsewhere. An input that
breaks a promise, a crash and a hang are findings: each is kept in build/fuzz/TARGET/failed, and
later runs try these first. Prints executions and findings per target; exit code 1 with a finding.
"""

import argparse
import io
import json
import math
import os
import random
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

GUIDED = find_spec("atheris") is not None
if GUIDED:
    import atheris

    quiet = redirect_stderr(io.StringIO())  # it names every module
    with quiet, atheris.instrument_imports(include=["builder", "trainer"]):
        from targets import TARGETS
else:
    from targets import TARGETS

from bounds import fault  # noqa: E402 - what they import is to be instrumented, too
from mutation import MAX_BYTES, apply, random_edit  # noqa: E402
from tally import LEAST, Tally, missing  # noqa: E402

KEPT = Path(__file__).resolve().parents[2] / "build/fuzz"
ROOM = 3 << 30  # bytes of address space that an input may take
HANGS = 60.0  # seconds of one input
JUNK = 0.02  # of the inputs
OWN = 0.2  # of the inputs are changed by the engine that knows the coverage
MEMORY = Path("/dev/shm")  # a disk would be most of what a small input takes
PAGE = os.sysconf("SC_PAGE_SIZE")


def keep(name: str, data: bytes) -> str:
    """The file of an input that failed."""
    path = KEPT / name / "failed" / sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


class Worker:
    """Tries inputs of one target, in a process of its own.

    The folder `scratch` tells the parent of it: `note` how far it came, as JSON, `current` the
    input, `told` what was printed.
    """

    def __init__(self, name: str, scratch: Path) -> None:
        self.name, self.scratch, self.tally = name, scratch, Tally()
        self.target = TARGETS[name]
        self.seeds = self.target.seeds()

    def run(self, seconds: float, goal: float) -> None:
        """The inputs that failed once, then new ones: so many, or until the time is over."""
        end = time.monotonic() + seconds
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * PAGE + ROOM, resource.RLIM_INFINITY))
        for path in sorted((KEPT / self.name / "failed").glob("*")):
            self.attempt(path.read_bytes())
        if GUIDED:
            self._by_coverage(end - time.monotonic(), goal)
        chance = random.Random(time.time_ns())
        while time.monotonic() < end and self.tally.executions < goal:
            if chance.random() < JUNK:
                self.attempt(chance.randbytes(chance.randrange(300)))
            else:
                self.attempt(self._changed(chance.choice(self.seeds), chance))
        self._tell()

    def attempt(self, data: bytes) -> None:
        """Try one input."""
        (self.scratch / "current").write_bytes(data)
        folder = self.scratch / "folder"
        folder.mkdir()
        said = fault(self.target, data, folder)
        rmtree(folder)
        self.tally.executions += 1
        if said and said not in self.tally.findings:
            self.tally.findings[said] = keep(self.name, data)
        if said or self.tally.executions % 50 == 0:
            self._tell()

    def _by_coverage(self, seconds: float, goal: float) -> None:
        """By libFuzzer, which ends the process."""
        corpus = KEPT / self.name / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        for data in self.seeds:
            (corpus / sha256(data).hexdigest()[:16]).write_bytes(data)
        options = {
            **{"max_total_time": max(1, int(seconds)), "max_len": MAX_BYTES, "rss_limit_mb": 0},
            **({"runs": int(goal)} if goal < math.inf else {}),
            **{"timeout": int(HANGS), "detect_leaks": 0, "artifact_prefix": f"{self.scratch}/"},
        }

        def mutator(data: bytes, size: int, seed: int) -> bytes:
            chance = random.Random(seed)
            if chance.random() < OWN:
                return bytes(atheris.Mutate(data, size))
            return self._changed(data, chance)[:size]

        words = [f"-{name}={value}" for name, value in options.items()]
        atheris.Setup([sys.argv[0], *words, str(corpus)], self.attempt, custom_mutator=mutator)
        atheris.Fuzz()

    def _changed(self, data: bytes, chance: random.Random) -> bytes:
        edits = [random_edit(chance) for _ in range(chance.choice((1, 1, 2, 3, 5)))]
        return apply(data, edits, self.seeds, self.target.layers)

    def _tell(self) -> None:
        path = self.scratch / "note.new"
        path.write_text(json.dumps([self.tally.executions, self.tally.findings]))
        path.replace(self.scratch / "note")


@dataclass(slots=True)
class Child:
    """A worker as its parent sees it."""

    name: str
    seconds: float
    scratch: Path
    process: int
    begun: float = field(default_factory=time.monotonic)
    tried: tuple[int, float] = (0, 0.0)  # when its input was written, and when that was seen

    def ended(self) -> str | None:
        """How its end is a finding, "" where it is none; None while it goes on."""
        process, status = os.waitpid(self.process, os.WNOHANG)
        if process:
            code = os.waitstatus_to_exitcode(status)
            return f"the process ended with {code}: {self._last_line()}" if code else ""
        current, now = self.scratch / "current", time.monotonic()  # other clocks may jump
        written = current.stat().st_mtime_ns if current.exists() else 0
        if written != self.tried[0]:
            self.tried = written, now
        if not written or now - self.tried[1] < HANGS:
            return None
        under_way = (self.scratch / "folder").exists()  # it goes when the input has been read
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        if under_way:
            return f"an input took more than {HANGS:.0f} seconds"
        print(f"{self.name}: the engine stood still between two inputs, and was ended", flush=True)
        return ""

    def add_to(self, tally: Tally, said: str) -> None:
        """What it did, and its end if that is a finding."""
        tally.seconds += time.monotonic() - self.begun
        note, current = self.scratch / "note", self.scratch / "current"
        executions, findings = json.loads(note.read_text()) if note.exists() else (0, {})
        tally.executions += executions
        tally.findings |= findings
        if said:
            data = current.read_bytes() if current.exists() else b""
            tally.findings[said] = keep(self.name, data)
        rmtree(self.scratch)

    def _last_line(self) -> str:
        lines = (self.scratch / "told").read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else ""


def begun(name: str, seconds: float, goal: float) -> Child:
    """A worker in a process that has all modules from the start."""
    scratch = Path(mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
    if process := os.fork():
        return Child(name, seconds, scratch, process)
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        told = os.open(scratch / "told", os.O_WRONLY | os.O_CREAT)
        os.dup2(told, 1)
        os.dup2(told, 2)
        Worker(name, scratch).run(seconds, goal)
        code = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def spend(shares: dict[str, float], tallies: dict[str, Tally], jobs: int, goal: float) -> None:
    """Try every target for its share of seconds, or up to `goal` inputs, `jobs` at a time.

    After a crash or a hang, which are findings, a target goes on for the rest of its share.
    """
    waiting, running = deque(shares.items()), list[Child]()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name, seconds = waiting.popleft()
                running.append(begun(name, seconds, max(0, goal - tallies[name].executions)))
            time.sleep(0.1)
            waiting += _gather(running, tallies)
    finally:
        for child in running:  # the user ended it
            os.kill(child.process, signal.SIGKILL)
            os.waitpid(child.process, 0)
            child.add_to(tallies[child.name], "")


def _gather(running: list[Child], tallies: dict[str, Tally]) -> Iterator[tuple[str, float]]:
    """What those that ended did; those whose share is not used up, with the rest of it."""
    for child in [*running]:
        if (said := child.ended()) is None:
            continue
        running.remove(child)
        child.add_to(tallies[child.name], said)
        left = child.seconds - (time.monotonic() - child.begun)
        if said and left > 1:
            yield child.name, left


@contextmanager
def report(tallies: dict[str, Tally]) -> Iterator[None]:
    """Prints what was done, also when the user ends it."""
    try:
        yield
    finally:
        for name, tally in tallies.items():
            rate = tally.executions / max(1, tally.seconds)
            what = f"{tally.executions:9,} executions, {rate:5,.0f} a second"
            print(f"{name:12} {what}, {len(tally.findings)} findings")
            for said, path in tally.findings.items():
                print(f"    {said}\n    {path}")
        total = sum(tally.executions for tally in tallies.values())
        found = sum(len(tally.findings) for tally in tallies.values())
        print(f"{total:,} executions led by {'coverage' if GUIDED else 'chance'}, {found} findings")


def main() -> int:
    """LEAST inputs of each target if half of the time allows it, the rest in equal shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--target", action="append", choices=TARGETS, help="this one alone")
    asked = parser.parse_args()
    tallies = {name: Tally() for name in asked.target or TARGETS}
    whole = 60 * asked.minutes * asked.jobs

    def left() -> float:
        return max(0.0, whole - sum(tally.seconds for tally in tallies.values()))

    with report(tallies):
        spend(dict.fromkeys(tallies, whole / 2 / len(tallies)), tallies, asked.jobs, LEAST)
        spend(missing(tallies, left()), tallies, asked.jobs, LEAST)
        spend(dict.fromkeys(tallies, left() / len(tallies)), tallies, asked.jobs, math.inf)
    return any(tally.findings for tally in tallies.values())


if __name__ == "__main__":
    sys.exit(main())
