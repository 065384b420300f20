"""Two versions of the project side by side: a process for each contender, which take turns."""

import json
import os
import subprocess
import sys
from typing import Any


class Contender:
    """A process of a benchmark's `--serve`, which does a piece of work whenever it is asked to."""

    def __init__(self, script: str, asked: dict[str, Any], folder: str | None = None) -> None:
        """`folder`: a checkout whose packages it imports; None: those that are installed."""
        environment = dict(os.environ)
        if folder:
            environment["PYTHONPATH"] = folder
        self._process = subprocess.Popen(
            [sys.executable, script, "--serve", json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.turn()  # it warms up

    def turn(self) -> Any:
        """What the work found."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("A contender ended; its message is above.")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def serve(work: Any) -> None:
    """Answer each line of stdin with what `work()` found, as a line of JSON."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not end up among the answers
    for _ in sys.stdin:
        print(json.dumps(work()), file=out, flush=True)
