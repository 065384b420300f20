"""All that a GPU must show, in one command: is it right, does it survive, how fast is it?

    python benchmarks/gpu/run.py                      # make gpu: ten minutes on a GPU
    python benchmarks/gpu/run.py --check card --check render

Writes docs/gpu.md and docs/gpu.json. Without a GPU it does the same in small on the CPU and lists
what a GPU would add as not run. Exit code 1 where something failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS.parent)]
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(BENCHMARKS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)

import builds  # noqa: E402 — after the path is set
import card  # noqa: E402
import gans  # noqa: E402
import page  # noqa: E402
import rendering  # noqa: E402
import speed  # noqa: E402
import steps  # noqa: E402
import torch  # noqa: E402
from scene import Finding, Scene  # noqa: E402

CHECKS = {
    "card": card.facts,
    "render": rendering.correct,
    "build": builds.resumed,
    "step": steps.alike,
    "train": steps.resumed,
    "gan": gans.resumed,
    "render-speed": speed.rendering,
    "train-speed": speed.fitting,
    "gan-speed": speed.gans,
}
QUERY = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]


class Watched:
    """The most memory of the GPU that is in use, in MB, asked twice a second."""

    def __init__(self, gpu):
        self.most, self.done = None, threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True) if gpu else None

    def look(self):
        while not self.done.wait(0.5):
            found = subprocess.run(
                QUERY, capture_output=True, text=True, check=False
            ).stdout.split()
            if found and found[0].isdigit():
                self.most = max(self.most or 0, int(found[0]))

    def __enter__(self):
        if self.thread:
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        if self.thread:
            self.thread.join()


def one(name, scene):
    """(name, seconds, memory, findings) of a check; what it raises is a finding, too."""
    findings, begin = [], time.perf_counter()
    with Watched(scene.gpu) as watched:
        try:
            for finding in CHECKS[name](scene):
                findings.append(finding)
                print(f"{name}: {finding.line}: {finding.found.splitlines()[0]}", flush=True)
        except Exception as error:  # the other checks still have something to tell
            words = f"{type(error).__name__}: {error}"
            findings.append(Finding(line="it ended early", found=words, passed=False))
            print(f"{name}: {words}", flush=True)
    return name, time.perf_counter() - begin, watched.most, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="append", choices=CHECKS, help="one of them; repeatable")
    parser.add_argument("--out", type=Path, default=BENCHMARKS.parent / "docs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(gpu=torch.cuda.is_available(), folder=Path(folder))
        done = [one(name, scene) for name in options.check or CHECKS]
    page.write(options.out, done, scene.gpu)
    print(f"Wrote {options.out / 'gpu.md'}.")
    return any(finding.passed is False for *_, found in done for finding in found)


if __name__ == "__main__":
    sys.exit(main())
