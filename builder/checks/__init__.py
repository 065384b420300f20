"""Rendered images → the same without those that fail a check, each failure drawn again.

`check` says what a check is, `find` finds one by name, `plug_in` guards those of other packages;
`constant`, `copy` and `classifier` are checks of a single image, `duplicate` compares all images of
a dataset. `redraw` is the loop that renders,
checks and draws again: labels stay those of the plan, so its counts and shares hold whatever is
rejected.
"""

from builder.checks.check import ALWAYS, Check, Context, Judge, fraction
from builder.checks.find import find_checks
from builder.checks.redraw import Redraws, Reject, RejectedSample, checked_pictures

__all__ = [
    "ALWAYS",
    "Check",
    "Context",
    "Judge",
    "Redraws",
    "Reject",
    "RejectedSample",
    "checked_pictures",
    "find_checks",
    "fraction",
]
