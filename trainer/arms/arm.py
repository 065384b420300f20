"""The arms by name: what each trains on, all from one dataset and with equally many steps.

none         the real images
flip         the same, flipped at random: the paper's standard augmentation
gan          real and synthetic images
oversample   real images; each synthetic one is replaced by a real one with the same labels
pretrain     synthetic images alone first, then real ones alone
classweight  real images, positives weighted by negatives / positives in the loss
radiograph   real images, turned, shifted, zoomed, made brighter or darker at random
"""

from collections.abc import Callable, Mapping

from builder.contract import Manifest, UsageError
from trainer.arms.classweight import classweight
from trainer.arms.flip import flip
from trainer.arms.gan import gan
from trainer.arms.material import Arm, Material
from trainer.arms.none import none
from trainer.arms.oversample import oversample
from trainer.arms.pretrain import pretrain
from trainer.arms.radiograph import radiograph
from trainer.recipe import ArmName, Recipe, plain_number
from trainer.stream.batches import Dataset

MAKERS: Mapping[ArmName, Callable[[Material], Arm]] = {
    "none": none,
    "flip": flip,
    "gan": gan,
    "oversample": oversample,
    "pretrain": pretrain,
    "classweight": classweight,
    "radiograph": radiograph,
}
TREATMENTS: tuple[ArmName, ...] = ("gan", "pretrain")  # they show synthetic pixels; others control
NEED_SYNTHETIC: tuple[ArmName, ...] = (*TREATMENTS, "oversample")
WEIGHTED: tuple[ArmName, ...] = ("gan", "oversample")  # their batches mix what weights compare


def default_arm(manifest: Manifest) -> ArmName:
    """gan where there are synthetic images, otherwise none."""
    synthetic = any(shard.origin == "synthetic" for shard in manifest.shardlist)
    return "gan" if synthetic else "none"


def make_arm(recipe: Recipe, data: Dataset) -> Arm:
    """The recipe's arm on this dataset.

    The recipe's mix weighs the origins: 0.5 takes half of an origin's images in an epoch and the
    other half in the next; 2 takes each twice. With steps "equal" every arm's epoch has as many
    images as the gan arm's; with "own" it has its images once. UsageError where the arm cannot be
    made.
    """
    material = Material.of(recipe, data)
    if recipe.arm in NEED_SYNTHETIC and not material.counts["synthetic"]:
        raise UsageError(
            f"--arm {recipe.arm} needs synthetic images, and the dataset has"
            f" {len(material.rows['synthetic'])} (or --mix leaves none): use --arm none."
        )
    if recipe.synthetic_weight != 1 and recipe.arm not in WEIGHTED:
        raise UsageError(
            f"--synthetic-weight {plain_number(recipe.synthetic_weight)} changes nothing in --arm"
            f" {recipe.arm}, whose batches do not mix real and synthetic images: leave it out."
        )
    return MAKERS[recipe.arm](material)
