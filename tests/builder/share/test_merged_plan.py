from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from builder.contract import Index, Manifest, UsageError
from builder.share.merged_plan import merged_plan


@pytest.fixture
def half(manifest: Manifest, index: Index) -> tuple[Manifest, Index]:
    """The synthetic half of the clinic's dataset, as --real none would give it."""
    rows = index.origin == "synthetic"
    part = Index(**{name: getattr(index, name)[rows] for name in index.__slots__})
    return manifest, part


def test_one_dataset_has_the_plan_it_had_but_for_the_bound(
    manifest: Manifest, index: Index
) -> None:
    assert manifest.plan is not None
    found = merged_plan([manifest], manifest, index, None)
    assert found == replace(manifest.plan, lower_bound=0)


def test_without_real_images_the_plans_say_how_many_there_are(
    half: tuple[Manifest, Index],
) -> None:
    manifest, part = half
    assert manifest.plan is not None
    assert merged_plan([manifest], None, part, None) == replace(manifest.plan, lower_bound=0)


def test_the_least_share_is_promised_or_the_one_that_is_asked_for(
    half: tuple[Manifest, Index],
) -> None:
    manifest, part = half
    assert manifest.plan is not None
    modest = replace(manifest, plan=replace(manifest.plan, share=(1, 10)))
    assert merged_plan([manifest, modest], None, part, None).share == (1, 10)
    assert merged_plan([manifest], None, part, Fraction("0.125")).share == (1, 8)
    with pytest.raises(UsageError, match=r"miss their share of 99\.00%.*promise less by --share 0"):
        merged_plan([manifest], None, part, Fraction("0.99"))


def test_the_advised_share_holds(half: tuple[Manifest, Index]) -> None:
    manifest, part = half
    with pytest.raises(UsageError) as error:
        merged_plan([manifest], None, part, Fraction("0.99"))
    advised = str(error.value).split()[-1].rstrip(".")
    assert merged_plan([manifest], None, part, Fraction(advised)).synthetic == len(part)


@pytest.mark.parametrize("field", ["labels_sha256", "seed", "regime", "holdout", "views"])
def test_plans_for_other_real_images_are_refused_with_the_field(
    half: tuple[Manifest, Index], field: str
) -> None:
    manifest, part = half
    other = replace(manifest, recipe={**manifest.recipe, field: "another"})
    manifests: Sequence[Manifest] = [manifest, other]
    with pytest.raises(UsageError, match=f"their {field} is .* and another: merge them with"):
        merged_plan(manifests, None, part, None)


def test_images_of_others_count_for_a_target(half: tuple[Manifest, Index]) -> None:
    manifest, part = half
    assert manifest.plan is not None
    more = Index(**{n: np.concatenate([getattr(part, n)] * 2) for n in part.__slots__})
    found = merged_plan([manifest], None, more, Fraction(1, 100))
    for target, before in zip(found.targets, manifest.plan.targets, strict=True):
        assert target.render == 2 * before.render
        assert target.positives - target.real_positives == 2 * (
            before.positives - before.real_positives
        )
