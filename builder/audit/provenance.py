"""Where real images and a classifier come from → notes where an audit may be misled by it."""

from collections.abc import Collection
from pathlib import Path

from builder.contract import Manifest
from builder.contract.weights import read_header

_SPLIT = {  # fields of a recipe that say which real images are for training
    "labels_sha256": "label table",
    "split": "split",
    "seed": "seed",
    "holdout": "holdout",
    "regime": "regime",
}


def otherwise_split(own: Manifest, other: Manifest) -> tuple[str, ...]:
    """A note where `other` has not the real images that `own` was planned for; else nothing.

    A field that one of the recipes lacks, as those of merged datasets do, is not compared.
    """
    pairs = [(name, own.recipe.get(name), other.recipe.get(name)) for name in _SPLIT]
    unlike = [_SPLIT[name] for name, one, two in pairs if None not in (one, two) and one != two]
    if not unlike:
        return ()
    return (
        f"The real images of {other.name} were chosen otherwise than those that {own.name} was "
        f"planned for (another {', '.join(unlike)}): images that the generator saw may be missing "
        "here, or count as held-out.",
    )


def trained_elsewhere(classifier: Path | None, digests: Collection[str]) -> tuple[str, ...]:
    """A note where the classifier was trained on none of the datasets of these digests."""
    if classifier is None or (digest := read_header(classifier).manifest) in digests:
        return ()
    return (
        f"The classifier was trained on another dataset (digest {digest[:12]}…): it may have seen "
        "held-out images, and then finds more in them than it should.",
    )
