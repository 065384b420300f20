"""The arm `none`: the real images."""

from trainer.arms.material import Arm, Material


def none(material: Material) -> Arm:
    """The real images alone."""
    return material.arm(material.part("real", material.count("real")))
