"""Does a build survive SIGKILL at any moment, with any number of workers?

    python benchmarks/kill.py --kills 20 -- --dataset demo --regime 10 --image-size 64

Builds once without interruption and with one worker. Then builds again with 1, 2 and 3 workers in
turn and kills the build at random moments; a build that is complete before its kill is deleted and
started again. At the end the sha256 of every file is compared. Exit code 1 if one differs, or if a
build fails by itself.
"""

import argparse
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path

WORKERS = (1, 2, 3)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def begun(xbuild: list[str], out: Path, workers: int) -> subprocess.Popen[bytes]:
    """A build on its way; what it says is in a file beside `out`."""
    with said_by(out).open("wb") as said:
        words = [*xbuild, "--out", str(out), "--workers", str(workers)]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=said)


def said_by(out: Path) -> Path:
    return out.with_suffix(".txt")


def must_succeed(process: subprocess.Popen[bytes], out: Path, workers: int) -> None:
    """Ends the benchmark where a build fails that nobody killed."""
    if code := process.wait():
        last = said_by(out).read_text(errors="replace").strip().splitlines()[-1:]
        sys.exit(
            f"A build with --workers {workers} that was not killed failed with exit code {code}: "
            f"{''.join(last) or 'it says nothing.'}"
        )


def broken_build(xbuild: list[str], out: Path, kills: int, moments: Iterator[float]) -> None:
    """Kill it so many times and let it end; each run has another number of workers."""
    killed = 0
    for workers in cycle(WORKERS):
        process = begun(xbuild, out, workers)
        try:
            process.wait(next(moments) if killed < kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
            continue
        must_succeed(process, out, workers)
        if killed == kills:
            return
        shutil.rmtree(out)  # it ended before its kill


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("arguments", nargs="+", help="arguments of xbuild synth, after --")
    options = parser.parse_args()
    xbuild = [str(Path(sys.executable).with_name("xbuild")), "synth", *options.arguments]
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder, "whole"), Path(folder, "broken")
        start = time.perf_counter()
        must_succeed(begun(xbuild, whole, 1), whole, 1)
        unbroken = time.perf_counter() - start
        moments = (chance.uniform(0.1, unbroken / 3) for _ in count())
        broken_build(xbuild, broken, options.kills, moments)
        expected, found = hashes(whole), hashes(broken)
    differing = {name for name in expected | found if expected.get(name) != found.get(name)}
    print(
        f"seed {options.seed}: killed {options.kills} times, with {', '.join(map(str, WORKERS))} "
        f"workers in turn, {len(expected)} files, {len(differing)} differ {sorted(differing)[:5]}"
    )
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
