"""How many cores this process may use."""

import os
from collections.abc import Callable


def usable_cores() -> int:
    """The cores of this process's affinity, at least 1; all of the machine where it has none.

    A batch system, `taskset` and a container's cpuset set the affinity; os.cpu_count ignores it.
    """
    # Python 3.13 has a function for it, which also obeys -X cpu_count.
    count: Callable[[], int | None] | None = getattr(os, "process_cpu_count", None)
    if count is not None:
        return count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
