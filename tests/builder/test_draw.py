from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import kstest

from builder.contract import KEY
from builder.draw import draw, latents, slug
from builder.plan import plan_balance

LABELS = (np.random.default_rng(0).random((400, 3)) < [0.03, 0.05, 0.4]).astype(np.int8)
LABELS[5, 2] = -1
PLAN = plan_balance(LABELS, targets=[0, 1], share=Fraction(3, 20), names=["Lung Lesion", "Mass"])


def test_a_latent_depends_on_seed_stream_and_number_alone() -> None:
    whole = latents(np.arange(100), 10, seed=1, name="Mass")
    assert whole.dtype == np.float32
    assert whole.shape == (100, 10)
    some = latents([7, 8, 9, 3, 99, 0], 10, seed=1, name="Mass")
    assert np.array_equal(some, whole[[7, 8, 9, 3, 99, 0]])
    assert not np.array_equal(whole, latents(np.arange(100), 10, seed=2, name="Mass"))
    assert not np.array_equal(whole, latents(np.arange(100), 10, seed=1, name="Nodule"))
    assert latents([], 10, seed=1, name="Mass").shape == (0, 10)


def test_latents_are_standard_normal_and_all_different() -> None:
    values = latents(np.arange(2000), 512, seed=0, name="Mass")
    assert kstest(values[:, ::16].ravel(), "norm").pvalue > 1e-4
    assert abs(np.corrcoef(values[:, 0], values[:, 1])[0, 1]) < 0.1
    assert len(np.unique(values[:, 0])) > 1990


def test_draws_carry_the_label_vectors_of_real_positives() -> None:
    drawn = draw(PLAN, LABELS, "gan10")
    assert len(drawn) == PLAN.synthetic
    samples = list(drawn.samples(0, len(drawn)))
    vectors = {tuple(row) for row in LABELS.tolist()}
    for sample in samples:
        column = ["Lung Lesion", "Mass"].index(sample.target)
        assert sample.labels[column] == 1
        assert sample.labels in vectors
        assert (sample.split, sample.origin, sample.patient) == ("train", "synthetic", "")
    assert len({sample.key for sample in samples}) == len(samples)
    assert all(KEY.fullmatch(sample.key) for sample in samples)
    assert samples[0].key.startswith("gan10-")


def test_targets_are_interleaved_and_numbers_ascend() -> None:
    drawn = draw(PLAN, LABELS, "x")
    quarter = len(drawn) // 4
    for start in range(0, 4 * quarter, quarter):
        part = drawn.target[start : start + quarter]
        assert abs((part == 0).sum() / quarter - PLAN.render[0] / len(drawn)) < 0.1
    for target in (0, 1):
        numbers = drawn.number[drawn.target == target]
        assert numbers.tolist() == list(range(PLAN.render[target]))


def test_every_draw_counts_for_its_target() -> None:
    drawn = draw(PLAN, LABELS, "x")
    counts = drawn.draws_per_target()
    assert counts == dict(zip(PLAN.names, PLAN.render, strict=True))
    assert sum(counts.values()) == len(drawn)


def test_a_drawn_vector_is_the_one_the_plan_counted() -> None:
    drawn = draw(PLAN, LABELS, "x")
    for target in (0, 1):
        own = drawn.labels[drawn.target == target]
        assert np.array_equal(own, LABELS[PLAN.rows(target)])


def test_targets_alone_keep_keys_numbers_and_order() -> None:
    plan = plan_balance(
        LABELS, targets=[0, 1], share=Fraction(3, 20), names=PLAN.names, vectors="alone"
    )
    drawn = draw(plan, LABELS, "x")
    assert np.array_equal(drawn.labels, np.eye(3, dtype=np.int8)[drawn.target])
    assert drawn.labels.dtype == np.int8
    first = next(drawn.samples(0, 1))
    assert (first.key, first.labels.count(1)) == (f"x-{slug(first.target)}-0000000", 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Pleural_Thickening", "pleural-thickening"), ("Lésion (a)", "l_sion-_a_")],
)
def test_names_become_keys(name: str, expected: str) -> None:
    assert slug(name) == expected
