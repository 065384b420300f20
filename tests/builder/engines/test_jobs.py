"""Which samples go into which shard."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from builder.contract import UsageError
from builder.contract.radiograph import Reading
from builder.draw import draw
from builder.engines import jobs
from builder.engines.jobs import check_count, real_jobs, synthetic_jobs
from builder.engines.painter import GeneratorPainter
from builder.labels import read_labels
from builder.plan import plan_balance
from builder.recipe import Layout, RealRecipe, RealRequest, resolve_real
from builder.split import Cohort, split_patients


@pytest.fixture
def cohort(clinic: Path) -> Cohort:
    table = read_labels("table", labels=clinic)
    tenth = Fraction(1, 10)
    split = split_patients(table.rows["patient"], holdout=(tenth, tenth))
    return Cohort(table=table, split=split)


@pytest.fixture
def recipe(cohort: Cohort) -> RealRecipe:
    request = RealRequest(dataset="table", image_size=32, shard_size=8, holdout=("0.1", "0.1"))
    return resolve_real(request, cohort.table)


@pytest.fixture
def clinic_layout(cohort: Cohort, recipe: RealRecipe, tmp_path: Path) -> Layout:
    return Layout(root=tmp_path / "out", pathologies=cohort.table.pathologies, image=recipe.image)


def test_every_real_image_is_in_one_shard(
    recipe: RealRecipe, cohort: Cohort, clinic_layout: Layout
) -> None:
    jobs = real_jobs(recipe, cohort, clinic_layout, skip_bad=False)
    keys = [sample.key for job in jobs for sample in job.samples]
    assert len(keys) == len({*keys}) == len(cohort.table)
    assert max(len(job.samples) for job in jobs) <= 8
    for job in jobs:
        assert {sample.split for sample in job.samples} == {job.url.split("/")[2].split("-")[0]}


def test_images_are_read_as_the_recipe_says(
    recipe: RealRecipe, cohort: Cohort, clinic_layout: Layout
) -> None:
    deep = replace(recipe, depth=12, window="full", upsample=True)
    jobs = real_jobs(deep, cohort, clinic_layout, skip_bad=False)
    assert {job.painter.reading for job in jobs} == {
        Reading(depth=12, window="full", upsample=True)
    }


def test_a_smaller_regime_has_a_prefix_of_the_same_shards(
    recipe: RealRecipe, cohort: Cohort, clinic_layout: Layout
) -> None:
    tenth = Fraction(1, 10)
    half = split_patients(cohort.table.rows["patient"], regime=Fraction(50), holdout=(tenth, tenth))
    smaller = replace(recipe, regime="50")
    part = real_jobs(smaller, replace(cohort, split=half), clinic_layout, skip_bad=False)
    whole = {job.url: job for job in real_jobs(recipe, cohort, clinic_layout, skip_bad=False)}
    assert {job.url: job for job in part} == {job.url: whole[job.url] for job in part}
    assert len(part) < len(whole)


def test_too_many_shards_are_refused_with_a_size_that_is_enough(
    recipe: RealRecipe, cohort: Cohort, clinic_layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = len(real_jobs(recipe, cohort, clinic_layout, skip_bad=False))
    monkeypatch.setattr(jobs, "MAX_SHARDS", made)
    check_count(recipe, cohort.split, 0)
    check_count(recipe, None, made * recipe.shard_size)
    for split, synthetic in ((cohort.split, 1), (None, made * recipe.shard_size + 1)):
        with pytest.raises(UsageError, match=f"--shard-size 8 makes {made + 1} shards") as refused:
            check_count(recipe, split, synthetic)
        enough = int(str(refused.value).split("use --shard-size ")[1].split()[0])
        check_count(replace(recipe, shard_size=enough), split, synthetic)


def test_synthetic_shards_hold_the_draw_in_order(painter: GeneratorPainter) -> None:
    labels = (np.arange(100)[:, None] < 5).astype(np.int8)
    drawn = draw(
        plan_balance(labels, targets=[0], share=Fraction(1, 5), names=["Mass"]), labels, "gan1"
    )
    jobs = synthetic_jobs(drawn, painter, shard_size=8, threads=2)
    assert [s for job in jobs for s in job.samples] == list(drawn.samples(0, len(drawn)))
    assert jobs[0].url == f"shards/gan1/train-00000-of-{len(jobs):05d}.tar"
    assert all(job.threads == 2 and job.painter is painter for job in jobs)
    assert len(jobs) == -(-len(drawn) // 8)
