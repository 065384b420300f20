"""All that a GPU must show, in one command: is it right, does it survive, how fast is it?

    python benchmarks/gpu/run.py                      # make gpu: ten minutes on a GPU
    python benchmarks/gpu/run.py --check card --check render

Writes docs/gpu.md and docs/gpu.json. Without a GPU it does the same in small on the CPU, in five
minutes of two cores, and lists what a GPU would add as not run. A check that fails or takes too
long is said, the others run, and the exit code is 1.
"""

import argparse
import importlib
import importlib.util
import inspect
import os
import resource
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
NEEDED = ("torch", "torchxrayvision", "simplejpeg", "deflate", "msgspec", "lightning_fabric")
if absent := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
    sys.exit(
        f"{sys.executable} lacks {', '.join(absent)}: name a Python that has PyTorch, as in"
        " make gpu PYTHON=.venv/bin/python, and run make gpu-wheels first where the rest is absent."
    )

import page  # noqa: E402 — after the path is set
import torch  # noqa: E402
from scene import FailedError, Finding, Scene  # noqa: E402

CHECKS = {  # module and function, imported where it is run
    "card": "card.facts",
    "render": "rendering.correct",
    "build": "builds.resumed",
    "step": "steps.alike",
    "train": "steps.resumed",
    "gan": "gans.resumed",
    "render-speed": "speed.rendering",
    "train-speed": "speed.fitting",
    "gan-speed": "speed.gans",
}
APART = ("render", "step")  # they compute here: in a process that can be ended
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


def check_of(name):
    """The function of a check: scene → findings; its docstring says what it does and why."""
    module, function = CHECKS[name].split(".")
    return getattr(importlib.import_module(module), function)


def one(name, scene):
    """The findings of a check and what it took; what it raises is a finding, too."""
    findings, begin, busy = [], time.perf_counter(), core_seconds()
    with Watched(scene.gpu) as watched:
        try:
            for finding in apart(name, scene) if name in APART else check_of(name)(scene):
                findings.append(finding)
                print(f"{name}: {finding.line}: {finding.found.splitlines()[0]}", flush=True)
        except Exception as error:  # the other checks still have something to tell
            words = (
                str(error) if isinstance(error, FailedError) else f"{type(error).__name__}: {error}"
            )
            findings.append(Finding(line="it ended early", found=words, passed=False))
            print(f"{name}: {words}", flush=True)
    return page.Check(
        name=name,
        about=inspect.getdoc(check_of(name)) or "",
        seconds=time.perf_counter() - begin,
        core_seconds=core_seconds() - busy,
        gpu_mb=watched.most,
        findings=findings,
    )


def core_seconds():
    """Seconds that cores worked for this process and for all that it waited for."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(each) for each in who]
    return sum(each.ru_utime + each.ru_stime for each in used)


def apart(name, scene):
    """The findings of a check in a process of its own, up to where it ended."""
    part = scene.folder / f"{name}.jsonl"
    part.touch()
    try:
        scene.script("gpu/run.py", "--check", name, "--part", part)
    finally:
        yield from page.read_part(part)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="append", choices=CHECKS, help="one of them; repeatable")
    parser.add_argument("--out", type=Path, default=BENCHMARKS.parent / "docs")
    parser.add_argument("--limit", type=float, default=300, help="seconds that a command may take")
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    gpu = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(gpu=gpu, folder=Path(folder), limit=options.limit)
        if options.part:
            for finding in check_of(options.check[0])(scene):
                page.write_part(options.part, finding)
            return 0
        done = [one(name, scene) for name in options.check or CHECKS]
    page.write(options.out, done, gpu)
    print(f"Wrote {options.out / 'gpu.md'}.")
    return int(any(finding.passed is False for check in done for finding in check.findings))


if __name__ == "__main__":
    sys.exit(main())
