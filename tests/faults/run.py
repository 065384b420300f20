"""Every command is interrupted at boundaries drawn by chance, and run again.

    python tests/faults/run.py --count 500

What must hold: the first run says why in one sentence, or ends with 0 and the bytes of a run that
nothing interrupted; the second ends with these bytes; complete shards are not made again; no
temporary file is left. Prints interruptions and findings; exit code 1 with a finding.
"""

import argparse
import hashlib
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from injection import BOUNDARIES, Fault, Injection
from scenes import SCENES, Scene, make_inputs, preload, run_inside

PATIENCE = 600.0  # seconds of a run
TWICE = "two at once"
LEFT = ("*.tmp", "*.part")


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended."""

    code: int
    said: str


@dataclass(frozen=True, slots=True)
class Whole:
    """A run that nothing interrupted: its files, and how many boundaries of each kind it met."""

    files: dict[str, str]  # sha256 by path
    counts: dict[str, int]


class Process:
    """A function in a forked process, which has all modules from the start."""

    def __init__(self, act: Callable[[], None], told: Path) -> None:
        """`told` is the file of what it prints."""
        self._told, self._end = told, time.monotonic() + PATIENCE
        sys.stdout.flush()
        self._id = os.fork()
        if self._id:
            return
        code = 70
        try:
            number = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(number, 1)
            os.dup2(number, 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            act()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def wait(self) -> End:
        """How it ended; one that hangs is killed."""
        while not (found := os.waitpid(self._id, os.WNOHANG))[0]:
            if time.monotonic() > self._end:
                os.kill(self._id, signal.SIGKILL)
                os.waitpid(self._id, 0)
                return End(-1, "it hangs")
            time.sleep(0.01)
        return End(os.waitstatus_to_exitcode(found[1]), self._told.read_text(errors="replace"))


def begun(scene: Scene, inputs: Path, own: Path, fault: Fault | None, name: str = "") -> Process:
    """The command on its way."""
    injection = Injection(own / "out", fault, own / f"counts{name}")

    def act() -> None:
        injection.install()
        try:
            run_inside(scene.program, scene.words(inputs, own))
        finally:
            injection.tell()

    return Process(act, own / f"told{name}")


def hashes(scene: Scene, own: Path) -> dict[str, str]:
    """The sha256 of the files that are the same after every run."""
    paths = {path for pattern in scene.sealed for path in (own / "out").glob(pattern)}
    return {
        str(path.relative_to(own)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
        if path.is_file()
    }


def unbroken(scene: Scene, inputs: Path, own: Path) -> Whole:
    """What the command leaves where nothing interrupts it."""
    own.mkdir()
    end = begun(scene, inputs, own, None).wait()
    if end.code:
        raise SystemExit(f"the command fails without a fault:\n{end.said}")
    words = (own / "counts").read_text().split()
    counts = {name: int(count) for name, _, count in (word.partition("=") for word in words)}
    return Whole(hashes(scene, own), counts)


def broken(
    scene: Scene, inputs: Path, own: Path, whole: Whole, fault: Fault | None
) -> Iterator[str]:
    """What does not hold after a fault; None: two runs at once."""
    own.mkdir()
    processes = [begun(scene, inputs, own, fault)]
    if fault is None:
        processes.append(begun(scene, inputs, own, None, "2"))
    ends = [process.wait() for process in processes]
    yield from filter(None, (_wrong_end(end, fault) for end in ends))
    if not all(end.code for end in ends) and (other := _differing(hashes(scene, own), whole)):
        yield f"it ends with 0 and other bytes than those of a whole run: {other[:4]}"
    shards = {path: path.stat().st_mtime_ns for path in (own / "out").rglob("*.tar")}
    again = begun(scene, inputs, own, None).wait()
    if again.code:
        yield f"the second run ends with {again.code}: {again.said[-600:]}"
    if other := _differing(hashes(scene, own), whole):
        yield f"other bytes than those of a whole run: {other[:4]}"
    if made := [path.name for path, when in shards.items() if path.stat().st_mtime_ns != when]:
        yield f"complete shards were made again: {made[:4]}"
    if left := [path.name for pattern in LEFT for path in (own / "out").rglob(pattern)]:
        yield f"temporary files are left: {left[:4]}"


def _differing(found: dict[str, str], whole: Whole) -> list[str]:
    """The files that are not those of a whole run."""
    names = found.keys() | whole.files.keys()
    return sorted(name for name in names if found.get(name) != whole.files.get(name))


def _wrong_end(end: End, fault: Fault | None) -> str:
    """What is wrong with the end of an interrupted run."""
    number = int(getattr(signal, fault.kind)) if fault and fault.kind.startswith("SIG") else 0
    usual = (0, 1, 2) if not number else (0, -number, 128 + number)
    lines = end.said.strip().splitlines()
    if end.code not in usual or "Traceback" in end.said:
        return f"it ends with {end.code}: {end.said[-1500:]}"
    if end.code > 0 and not (lines and lines[-1].endswith(".")):
        return f"it ends with {end.code} and no sentence: {end.said[-600:]}"
    return ""


def drawn(chance: random.Random, number: int, whole: Whole) -> Fault | None:
    """The fault of a trial: every kind in turn, where by chance; None: two at once."""
    kinds = [kind for kind in (*BOUNDARIES, TWICE) if kind == TWICE or whole.counts[kind]]
    kind = kinds[number % len(kinds)]
    if kind == TWICE:
        return None
    return Fault(kind, chance.randint(1, whole.counts[kind]), chance.random() < 0.5)


def main() -> int:
    """Trials of each command in turn, until there were as many as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="interruptions, all together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--command", action="append", choices=SCENES, help="this one alone")
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    preload()
    chance, names, findings = random.Random(asked.seed), asked.command or [*SCENES], 0
    done: Counter[str] = Counter()
    with TemporaryDirectory(prefix="faults-") as folder:
        top = Path(folder)
        inputs = top / "inputs"
        inputs.mkdir()
        made = Process(lambda: make_inputs(inputs), top / "told").wait()
        if made.code:
            raise SystemExit(made.said)
        wholes = {name: unbroken(SCENES[name], inputs, top / name) for name in names}
        firsts = {name: chance.randrange(len(BOUNDARIES) + 1) for name in names}
        for trial in range(asked.count):
            name = names[trial % len(names)]
            fault = drawn(chance, firsts[name] + trial // len(names), wholes[name])
            own = top / f"trial {trial}"
            for wrong in broken(SCENES[name], inputs, own, wholes[name], fault):
                findings += 1
                print(f"trial {trial}, {name}, {fault or TWICE}: {wrong}", flush=True)
            done[f"{name} {fault.kind if fault else TWICE}"] += 1
            rmtree(own)
    for what, count in sorted(done.items()):
        print(f"{what:20} {count:5}")
    print(f"{done.total()} interruptions, {findings} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
