"""One of the processes of processes.py: it does the task that stdin brings.

The pipe stays open as long as the parent lives: when it ends, this process saves and stops too.
"""

import os
import pickle
import signal
import sys
import threading

from builder.contract import Refusal, Stopped


def main() -> None:
    """The task done; a refusal is one sentence on stderr, and its exit code."""
    task = pickle.load(sys.stdin.buffer)  # from the parent alone
    threading.Thread(target=_follow, daemon=True).start()
    try:
        task()
    except (Refusal, Stopped, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 1)) from None


def _follow() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing more is sent: this waits for the end of the pipe
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
