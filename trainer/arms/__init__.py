"""A dataset and an arm's name → Arm: what a run trains on, in which order, with which weights.

All arms train on one dataset with equally many steps; `arm` says what each of them shows.
"""

from trainer.arms.arm import (
    ARMS,
    AUGMENTS,
    EVEN,
    STEPS,
    TREATMENTS,
    Arm,
    default_arm,
    make_arm,
    parse_mix,
)
from trainer.arms.oversample import control_digest

__all__ = [
    "ARMS",
    "AUGMENTS",
    "EVEN",
    "STEPS",
    "TREATMENTS",
    "Arm",
    "control_digest",
    "default_arm",
    "make_arm",
    "parse_mix",
]
