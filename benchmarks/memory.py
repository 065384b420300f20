"""Does the memory of a build stay flat? RSS during a build of 98,773 images.

    python benchmarks/memory.py
    python benchmarks/memory.py -- --dataset demo --regime 10 --image-size 64 --real none

Runs `xbuild synth` with the arguments after `--` (default: the synthetic half of regime 100,
phantoms of 64 pixels) into a temporary folder. Samples the RSS of each of its processes and the
number of bytes in the shards. Prints the largest RSS until 10 %, 50 % and 100 % are written.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEFAULT = ["--dataset", "demo", "--regime", "100", "--real", "none", "--image-size", "64"]


def children(pid):
    """The process and all below it."""
    found = [pid]
    for process in found:
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found += [int(word) for word in task.read_text().split()]
            except OSError:
                continue
    return found


def rss(pid):
    """Bytes in memory, shared libraries included; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))


def written(folder):
    """Bytes in the shards, those of unfinished ones included."""
    return sum(path.stat().st_size for path in folder.rglob("*.t*") if path.is_file())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arguments", nargs="*", help="arguments of xbuild synth, after --")
    options = parser.parse_args()
    xbuild = str(Path(sys.executable).with_name("xbuild"))
    command = [xbuild, "synth", *(options.arguments or DEFAULT)]
    with tempfile.TemporaryDirectory() as folder:
        build = subprocess.Popen([*command, "--out", folder], stdout=subprocess.DEVNULL)
        samples = []
        while build.poll() is None:
            processes = children(build.pid)
            try:
                parent, *workers = map(rss, processes)
                samples.append((written(Path(folder)), parent, max(workers, default=0)))
            except FileNotFoundError:  # a shard was renamed meanwhile
                continue
            time.sleep(0.2)
        if build.returncode:
            sys.exit(build.returncode)
        total = written(Path(folder))
    print(f"{total / 1e6:,.0f} MB of shards\n")
    print("| share written | the first process, MB | largest worker, MB |\n|---:|---:|---:|")
    for share in (0.1, 0.5, 1.0):
        seen = [sizes for done, *sizes in samples if done <= share * total]
        parent, worker = (max(column) / 1e6 for column in zip(*seen, strict=True))
        print(f"| {share:.0%} | {parent:,.0f} | {worker:,.0f} |")


if __name__ == "__main__":
    main()
