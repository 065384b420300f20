"""The plan of several datasets together, counted again → PlanProof."""

from collections.abc import Sequence
from fractions import Fraction

from builder.contract import Index, Manifest, PlanProof, TargetCount, UsageError, printable

_COHORT = (  # what the real training images depend on, which a plan counts
    *("dataset", "labels_sha256", "table", "uncertain", "views", "split", "holdout", "seed"),
    "regime",
)


def merged_plan(
    manifests: Sequence[Manifest], real: Manifest | None, index: Index, share: Fraction | None
) -> PlanProof:
    """The counts of `index`, which holds all images; `real` is the dataset of the real ones.

    Where no real image is in it, the plans say how many there are. UsageError where they speak of
    different ones, or a target is below `share`, by default the least that the plans promise.
    """
    plans = [manifest.plan for manifest in manifests if manifest.plan is not None]
    targets = list(dict.fromkeys(t.pathology for plan in plans for t in plan.targets))
    synthetic = index.origin == "synthetic"
    train = (index.split == "train") & ~synthetic
    if real is None:
        _check_cohorts(manifests)
        total, known = plans[0].real, {t.pathology: t for p in plans for t in p.targets}
    else:
        total, known = int(train.sum()), {}
    least = share or min(Fraction(*plan.share) for plan in plans)
    columns = {name: index.labels[:, manifests[0].pathologies.index(name)] == 1 for name in targets}
    counts = []
    for name in sorted(targets, key=manifests[0].pathologies.index):
        positive = columns[name]
        have = known[name].real_positives if known else int((train & positive).sum())
        positives = have + int((synthetic & positive).sum())
        counts.append(
            TargetCount(
                pathology=name,
                real_positives=have,
                render=int((synthetic & (index.target == name)).sum()),
                positives=positives,
                share=positives / (total + int(synthetic.sum())),
            )
        )
    plan = PlanProof(
        share=(least.numerator, least.denominator),
        real=total,
        synthetic=int(synthetic.sum()),
        lower_bound=0,  # the proofs of the parts do not hold for their union
        targets=tuple(counts),
    )
    _check_shares(plan)
    return plan


def _check_cohorts(manifests: Sequence[Manifest]) -> None:
    """UsageError unless all plans are for the same real training images."""
    first, *others = manifests
    for other in others:
        for name in _COHORT:
            if first.recipe.get(name) != other.recipe.get(name):
                raise UsageError(
                    f"{first.name} and {other.name} were planned for different real images, their "
                    f"{name} is {_shown(first, name)} and {_shown(other, name)}: merge them with "
                    "the real half of one of them."
                )


def _shown(manifest: Manifest, name: str) -> str:
    return printable(str(manifest.recipe.get(name)))


def _check_shares(plan: PlanProof) -> None:
    if broken := plan.broken():
        short = ", ".join(f"{target.pathology} {target.share:.2%}" for target in broken)
        least = int(min(target.share for target in broken) * 1000) / 1000
        raise UsageError(
            f"Together the targets miss their share of {plan.share[0] / plan.share[1]:.2%}: "
            f"{short}. Build them as one dataset by xbuild synth with all --target, or promise "
            f"less by --share {least:g}."
        )
