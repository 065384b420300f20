"""What was done with each target, and how much time one lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LEAST = 10_000  # inputs of each target
_RESERVE = 1.2  # the next inputs may cost more than those before


@dataclass(slots=True)
class Tally:
    """What was done with a target."""

    executions: int = 0
    seconds: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)  # what does not hold: the input's file


def missing(tallies: Mapping[str, Tally], left: float) -> dict[str, float]:
    """The seconds that each target lacks for LEAST inputs; less where not so many are left."""
    needs = {
        name: _RESERVE * (LEAST - tally.executions) * tally.seconds / max(1, tally.executions)
        for name, tally in tallies.items()
        if tally.executions < LEAST
    }
    scale = min(1, left / max(1, sum(needs.values())))
    return {name: seconds * scale for name, seconds in needs.items()}
