"""The arm `gan`: the real and the synthetic images."""

from builder.contract import ORIGINS
from trainer.arms.material import Arm, Material


def gan(material: Material) -> Arm:
    """Real and synthetic images, evenly mixed."""
    counts = material.counts
    return material.arm(*(material.part(o, counts[o]) for o in ORIGINS if counts[o]))
