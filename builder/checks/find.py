"""Which check a name means → Check.

A check is found by name through the entry points of group `cxr_rebalance.checks`: a function
`(argument: str) -> Check`; `NAME:ARGUMENT` passes ARGUMENT on.
"""

from collections.abc import Sequence
from importlib.metadata import entry_points

from builder.checks.check import ALWAYS, DUPLICATE, Check
from builder.checks.plug_in import load_plug_in
from builder.contract import UsageError

GROUP = "cxr_rebalance.checks"


def find_checks(names: Sequence[str]) -> list[Check]:
    """The checks that every image must pass: ALWAYS, then those of NAME or NAME:ARGUMENT.

    `duplicate` is none of them. UsageError where there is no such check, or the code of another
    package fails.
    """
    return [_find(name) for name in (ALWAYS, *names) if name != DUPLICATE]


def _find(full_name: str) -> Check:
    name, _, argument = full_name.partition(":")
    found = entry_points(group=GROUP)
    if name not in found.names:
        known = ", ".join(sorted({*found.names, DUPLICATE}))
        raise UsageError(f"No check is called {full_name!r}: --check takes {known}.")
    entry = found[name]
    if entry.module.partition(".")[0] != "builder":
        return load_plug_in(entry, full_name, argument)
    check: Check = entry.load()(argument)
    return check
