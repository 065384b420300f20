"""A recipe and a dataset → Arm: what a run trains on, in which order, with which weights.

Each arm has a file of its own; `arm` lists them, `material` is what they are made of.
"""

from trainer.arms.arm import NEED_SYNTHETIC, TREATMENTS, WEIGHTED, default_arm, make_arm
from trainer.arms.controls import Controls, controls_of
from trainer.arms.material import Arm, parse_mix

__all__ = [
    "NEED_SYNTHETIC",
    "TREATMENTS",
    "WEIGHTED",
    "Arm",
    "Controls",
    "controls_of",
    "default_arm",
    "make_arm",
    "parse_mix",
]
