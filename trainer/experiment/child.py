"""The program of each process of processes.py: it does the task that it reads from stdin.

The pipe stays open as long as the parent lives. When the pipe ends, this process saves and stops.
"""

import os
import pickle
import signal
import sys
import threading

from builder.contract import Refusal, Stopped, printable


def main() -> None:
    """Do the task; after a refusal print its sentence on stderr and exit with its code."""
    task = pickle.load(sys.stdin.buffer)  # only the parent writes it
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        task()
    except (Refusal, Stopped, OSError) as error:
        print(printable(str(error), 4000), file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 1)) from None


def _stop_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing more is sent: this returns when the pipe ends
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
