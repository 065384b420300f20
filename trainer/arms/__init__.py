"""A recipe and a dataset → Arm: what a run trains on, in which order, with which weights.

Each arm has a file of its own; `arm` lists them, `material` is what they are made of.
"""

from trainer.arms.arm import NEED_SYNTHETIC, TREATMENTS, default_arm, make_arm
from trainer.arms.material import Arm, parse_mix
from trainer.arms.oversample import control_digest

__all__ = [
    "NEED_SYNTHETIC",
    "TREATMENTS",
    "Arm",
    "control_digest",
    "default_arm",
    "make_arm",
    "parse_mix",
]
