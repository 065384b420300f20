"""The arm `pretrain`: synthetic images alone first, then real images alone."""

from builder.contract import UsageError
from trainer.arms.material import Arm, Material


def pretrain(material: Material) -> Arm:
    """Synthetic epochs, then real ones, in the proportion of the images; weights of real epochs.

    UsageError with fewer than two epochs.
    """
    epochs = material.recipe.epochs
    if epochs < 2:
        raise UsageError("--arm pretrain needs at least two epochs: one synthetic, one real.")
    synthetic = round(epochs * material.counts["synthetic"] / material.total)
    first_real = 1 + min(max(synthetic, 1), epochs - 1)
    return material.arm(
        material.part("synthetic", material.count("synthetic"), last=first_real - 1),
        material.part("real", material.count("real"), first=first_real),
        choose_from=first_real,
    )
