"""Labels → how often each pathology and each pair of them is present, before and after."""

from dataclasses import dataclass

import numpy as np

from builder.audit.pictures import Sealed
from builder.contract import Labels, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Some images: how many, and how many of them are positive for two pathologies at once."""

    images: int
    pairs: tuple[tuple[int, ...], ...]  # [L, L]; for one pathology on the diagonal


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """A target as the plan of the manifest counts it."""

    pathology: str
    before: int  # positives among the real training images
    after: int  # with the synthetic ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The training set; `real` and `both` are None where the gallery may not tell or not know."""

    real: Counts | None
    synthetic: Counts | None
    both: Counts | None
    share: float  # that every target reaches; 0 without a plan
    planned: tuple[int, int]  # real and synthetic images of the plan; zeros without one
    targets: tuple[Lifted, ...]


def count_training(sealed: Sealed, *, synthetic_only: bool) -> Training:
    """The counts of a dataset's training images.

    With `synthetic_only` the real images are told by the plan's own numbers, which the manifest
    has: small counts of pairs could tell of persons.
    """
    index, plan = sealed.index, sealed.manifest.plan
    train = index.split == "train"
    real = train & (index.origin == "real")
    synthetic = train & (index.origin == "synthetic")
    told = bool(real.any()) and not synthetic_only
    return Training(
        real=_counts(index.labels[real]) if told else None,
        synthetic=_counts(index.labels[synthetic]) if synthetic.any() else None,
        both=_counts(index.labels[train]) if told else None,
        share=plan.share[0] / plan.share[1] if plan else 0.0,
        planned=(plan.real, plan.synthetic) if plan else (0, 0),
        targets=_lifted(sealed.manifest),
    )


def _counts(labels: Labels) -> Counts:
    positive = (labels == 1).astype(np.float64)  # counts are exact below 2^53
    pairs = (positive.T @ positive).astype(np.int64)
    return Counts(images=len(labels), pairs=tuple(tuple(row) for row in pairs.tolist()))


def _lifted(manifest: Manifest) -> tuple[Lifted, ...]:
    if manifest.plan is None:
        return ()
    return tuple(
        Lifted(pathology=t.pathology, before=t.real_positives, after=t.positives)
        for t in manifest.plan.targets
    )
