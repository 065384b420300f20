"""Where the checks run, what they find, and how they call the commands and the other scripts."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
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
    limit: float = 300  # seconds that a command may take

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
        return self._finished(self.command(tool, *words))

    def script(self, name, *words):
        """What a script of this folder's parent printed."""
        return self._finished([sys.executable, str(BENCHMARKS / name), *map(str, words)])

    def stopped(self, tool, *words, at, number=signal.SIGKILL):
        """Run the command and send it a signal as soon as `at()` is true; its exit code."""
        code, _, message = run(self.command(tool, *words), self.limit, at, number)
        if code == 0:
            raise FailedError(f"{tool} {words[0]} ended before it could be stopped")
        if code not in (-number, 128 + number):
            raise FailedError(f"{tool} {words[0]} was to be stopped, and failed: {message}")
        return code

    def _finished(self, command):
        code, printed, message = run(command, self.limit)
        if code:
            raise FailedError(message)
        return printed

    def empty(self, name):
        """A folder of that name with nothing in it."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def demo(self, side):
        """The manifest of a small dataset of phantoms, real and synthetic."""
        out = self.folder / f"demo{side}"
        manifest = out / "manifests" / "demo.json"
        if not manifest.is_file():
            regime, holdout = (1, 0.005) if self.gpu else (0.1, 0.001)
            words = ["--regime", regime, "--holdout", holdout, holdout, "--image-size", side]
            words += ["--name", "demo", "--out", out]
            self.call("xbuild", "synth", "--dataset", "demo", *words)
        return manifest


def run(command, limit, at=None, number=signal.SIGKILL):
    """(exit code, what it printed, why it failed); `number` is sent as soon as `at()` is true.

    FailedError where it takes longer than `limit` seconds: it and all that it started are ended.
    """
    until = time.monotonic() + limit
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        try:
            while not over(process):
                if time.monotonic() > until:
                    raise FailedError(f"still running after {limit:g} s, and was ended")
                if at and at():
                    process.send_signal(number)
                    at = None
                time.sleep(0.01)
        finally:  # it is not yet waited for, so the group is surely its own
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        out.seek(0)
        err.seek(0)
        printed, words = out.read().rstrip(), err.read()
    last = (words.strip() or printed.strip() or "no message").splitlines()[-2:]
    ended = f"exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
    return code, printed, f"{ended}: {' / '.join(line.strip() for line in last)}"


def over(process):
    """Whether it ended; it is left for `wait`, so that its number stays its own."""
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, how) is not None
