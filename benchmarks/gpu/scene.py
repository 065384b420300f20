"""Where the checks run, what they find, and how they call the commands and the other scripts."""

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
TARGETS = ("Cardiomegaly", "Mass", "Pleural_Thickening")
NO_GPU = "there is no GPU here"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the page; `passed` is None where it was not run or is a figure alone."""

    line: str
    found: str
    passed: bool | None = None
    ran: bool = True


def not_run(line, reason=NO_GPU):
    return Finding(line=line, found=reason, ran=False)


def within(line, value, limit, form="{:.2g}"):
    """A figure that must not be above its limit."""
    return Finding(
        line=f"{line} (at most {limit:g})", found=form.format(value), passed=bool(value <= limit)
    )


def holds(line, condition, found="yes"):
    return Finding(line=line, found=found if condition else "no", passed=bool(condition))


class FailedError(Exception):
    """A command that a check needs did not end well."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A machine with a GPU or without, and a folder for what the checks write."""

    gpu: bool
    folder: Path

    @property
    def device(self):
        return "cuda" if self.gpu else "cpu"

    def command(self, tool, *words):
        """xbuild or xtrain by the interpreter that runs this: it need not be installed."""
        package = {"xbuild": "builder", "xtrain": "trainer"}[tool]
        code = f"import sys; from {package}.cli import main; sys.argv[0] = {tool!r}; main()"
        return [sys.executable, "-c", code, *map(str, words)]

    def call(self, tool, *words):
        """What the command printed."""
        return _finished(self.command(tool, *words))

    def script(self, name, *words):
        """What a script of this folder's parent printed."""
        return _finished([sys.executable, str(BENCHMARKS / name), *map(str, words)])

    def stopped(self, tool, *words, at, number=signal.SIGKILL):
        """Run the command and send it a signal as soon as `at()` is true; its exit code."""
        process = subprocess.Popen(
            self.command(tool, *words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        until = time.monotonic() + 300
        while process.poll() is None and not at() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate()
        return process.returncode

    def empty(self, name):
        """A folder of that name with nothing in it."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def demo(self, side):
        """The manifest of a small dataset of phantoms, real and synthetic."""
        out = self.folder / f"demo{side}"
        manifest = out / "manifests" / "gan1.json"
        if not manifest.is_file():
            words = ("--regime", 1, "--holdout", 0.005, 0.005, "--image-size", side, "--out", out)
            self.call("xbuild", "synth", "--dataset", "demo", *words)
        return manifest


def _finished(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise FailedError(f"exit code {done.returncode}: {words[-1] if words else 'no message'}")
    return done.stdout.rstrip()
