import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import Bounds, LinearConstraint, milp

from builder.contract import Labels, UsageError
from builder.labels import CHEXPERT, NO_FINDING, canonical, read_labels
from builder.plan import Plan, Vectors, draw_rows, plan_balance, rare_targets
from builder.split import split_patients

SHARE = Fraction(15, 100)

RandomLabels = Callable[..., Labels]


def recount(plan: Plan, labels: Labels) -> list[tuple[int, int]]:
    """(positives, total) per target, counted from the drawn rows alone."""
    drawn = [labels[plan.rows(i)] for i in range(len(plan.targets))]
    everything = np.concatenate([labels, *drawn])
    return [(int((everything[:, t] == 1).sum()), len(everything)) for t in plan.targets]


def optimum_in_expectation(labels: Labels, targets: list[int], share: Fraction) -> int:
    """The fewest images when every draw adds its expectation: an independent integer programme."""
    positive = labels[:, targets] == 1
    given = np.array([positive[positive[:, t]].mean(axis=0) for t in range(len(targets))])
    matrix = given.T - float(share)
    need = float(share) * len(labels) - positive.sum(axis=0)
    solution = milp(
        np.ones(len(targets)),
        constraints=LinearConstraint(matrix, lb=need),
        integrality=np.ones(len(targets)),
        bounds=Bounds(0, np.inf),
    )
    return round(solution.fun)


@pytest.mark.parametrize(("regime", "tolerance"), [(1, 0.05), (10, 0.01), (50, 0.01), (100, 0.01)])
def test_chexpert_at_the_papers_regimes(regime: int, tolerance: float) -> None:
    table = read_labels("chexpert")
    split = split_patients(table.rows["patient"], regime=Fraction(regime))
    labels = table.labels[split.train]
    healthy = [i for i, name in enumerate(CHEXPERT) if canonical(name) == NO_FINDING]
    targets = rare_targets(table.labels, below=Fraction(5, 100), exclude=healthy)
    assert [CHEXPERT[i] for i in targets] == ["Lung Lesion", "Pleural Other", "Fracture"]
    names = [CHEXPERT[i] for i in targets]
    plan = plan_balance(labels, targets=targets, share=SHARE, names=names)
    for positives, total in recount(plan, labels):
        assert 100 * positives >= 15 * total
    assert plan.lower_bound == plan.synthetic
    expected = optimum_in_expectation(labels, targets, SHARE)
    assert abs(plan.synthetic - expected) <= tolerance * expected


@pytest.mark.parametrize("seed", range(12))
def test_no_plan_has_fewer_images(random_labels: RandomLabels, seed: int) -> None:
    """Against a search of every combination of counts, co-occurring targets included."""
    labels = random_labels(60, [0.05, 0.08, 0.3], seed, together=0.4)
    labels[0, :2] = 1
    plan = plan_balance(labels, targets=[0, 1], share=Fraction(1, 5), seed=seed)
    limit = plan.synthetic
    drawn = [
        labels[draw_rows(plan.pools[i], limit, seed=seed, name=plan.names[i])][:, [0, 1]]
        for i in range(2)
    ]
    running = [np.vstack([[0, 0], np.cumsum(d, axis=0)]) for d in drawn]
    base = labels[:, [0, 1]].sum(axis=0)
    sizes = [
        a + b
        for a, b in itertools.product(range(limit + 1), repeat=2)
        if ((base + running[0][a] + running[1][b]) * 5 >= len(labels) + a + b).all()
    ]
    assert min(sizes) == plan.synthetic == plan.lower_bound


TABLES = arrays(np.int8, st.tuples(st.integers(4, 25), st.just(3)), elements=st.integers(-1, 1))


@pytest.mark.parametrize("vectors", ["lp", "alone"])
@settings(deadline=None, max_examples=60)
@given(labels=TABLES, share=st.sampled_from([Fraction(1, 5), Fraction(3, 10), Fraction(2, 7)]))
def test_no_plan_of_a_small_table_has_fewer_images(
    vectors: Vectors, labels: Labels, share: Fraction
) -> None:
    """Against every combination of counts, their label vectors added up one by one."""
    labels[0, :2] = 1
    try:
        plan = plan_balance(labels, targets=[0, 1], share=share, vectors=vectors, max_per_real=20)
    except UsageError:
        return  # the advice has tests of its own
    own = [plan.label_vectors(i, labels) for i in range(2)]
    assert [len(each) for each in own] == list(plan.render)
    everything = np.concatenate([labels, *own])
    assert ((everything[:, :2] == 1).sum(axis=0) == plan.positives).all()
    assert all(count >= share * len(everything) for count in plan.positives)
    assert plan.lower_bound == plan.synthetic
    longer = replace(plan, render=(plan.synthetic, plan.synthetic))
    drawn = [longer.label_vectors(i, labels)[:, :2] == 1 for i in range(2)]
    running = [np.vstack([[0, 0], each.cumsum(axis=0)]) for each in drawn]
    base = (labels[:, :2] == 1).sum(axis=0)
    for total in range(plan.synthetic):
        for first in range(total + 1):
            after = base + running[0][first] + running[1][total - first]
            assert not (after >= share * (len(labels) + total)).all()


def test_an_image_shows_its_target_alone_where_that_is_asked_for() -> None:
    labels = np.array([[1, 1, -1], [0, 1, 1], [0, 0, 0], [-1, 0, 1], [0] * 3], dtype=np.int8)
    plan = plan_balance(labels, targets=[0, 2], share=Fraction(9, 20), vectors="alone")
    for i, column in enumerate(plan.targets):
        vectors = plan.label_vectors(i, labels)
        assert vectors.dtype == np.int8
        assert (vectors == np.eye(3)[column]).all()  # neither the unknown nor what it comes with
        assert len(vectors) == plan.render[i] > 0
    with pytest.raises(ValueError, match="copy no row"):
        plan.rows(0)
    assert plan_balance(labels, targets=[0], share=SHARE).vectors == "lp"


@pytest.mark.parametrize("seed", range(6))
def test_every_share_holds_for_five_targets_that_co_occur(
    random_labels: RandomLabels, seed: int
) -> None:
    labels = random_labels(3000, [0.02, 0.03, 0.04, 0.05, 0.01, 0.4], seed, together=0.3)
    plan = plan_balance(labels, targets=[0, 1, 2, 3, 4], share=Fraction(12, 100), seed=seed)
    assert plan.lower_bound <= plan.synthetic <= 1.02 * plan.lower_bound
    for (positives, total), count in zip(recount(plan, labels), plan.proof().targets, strict=True):
        assert 100 * positives >= 12 * total
        assert count.positives == positives
    assert not plan.proof().broken()


def test_a_target_that_holds_already_gets_nothing(random_labels: RandomLabels) -> None:
    labels = random_labels(500, [0.5, 0.4], 0)
    plan = plan_balance(labels, targets=[0, 1], share=SHARE)
    assert plan.render == (0, 0)
    assert plan.synthetic == plan.lower_bound == 0


def test_co_occurrence_is_used() -> None:
    labels = np.zeros((200, 2), dtype=np.int8)
    labels[:10] = 1  # the two always come together
    plan = plan_balance(labels, targets=[0, 1], share=SHARE)
    one = plan_balance(labels, targets=[0], share=SHARE)
    assert plan.synthetic == one.synthetic


def test_unknown_labels_are_never_positive() -> None:
    labels = np.array([[1], [-1], [-1], [0], [0], [0], [0], [0], [0], [0]], dtype=np.int8)
    plan = plan_balance(labels, targets=[0], share=Fraction(1, 5))
    assert plan.proof().targets[0].real_positives == 1
    assert plan.positives[0] * 5 >= 10 + plan.synthetic


def test_draws_are_a_prefix_of_longer_draws_and_differ_by_target_and_seed() -> None:
    pool = np.arange(1000)
    ten = draw_rows(pool, 10, seed=0, name="Mass")
    assert ten.tolist() == draw_rows(pool, 5000, seed=0, name="Mass")[:10].tolist()
    assert ten.tolist() != draw_rows(pool, 10, seed=1, name="Mass").tolist()
    assert ten.tolist() != draw_rows(pool, 10, seed=0, name="Nodule").tolist()


def test_draws_are_uniform() -> None:
    counts = np.bincount(draw_rows(np.arange(50), 100_000, seed=3, name="x"), minlength=50)
    chi = ((counts - 2000) ** 2 / 2000).sum()
    assert 20 < chi < 95  # 49 degrees of freedom: a fair draw leaves this in 1 of 10,000 cases


def test_no_positive_says_which() -> None:
    labels = np.zeros((10, 2), dtype=np.int8)
    labels[0, 0] = 1
    with pytest.raises(UsageError, match=r"Hernia has no positive .* larger --regime"):
        plan_balance(labels, targets=[0, 1], share=SHARE, names=["Mass", "Hernia"])


@pytest.mark.parametrize("share", [Fraction(1), Fraction(0), Fraction(3, 2)])
def test_a_share_of_one_is_refused(share: Fraction) -> None:
    with pytest.raises(UsageError, match="--share"):
        plan_balance(np.eye(2), targets=[0], share=share)


def test_shares_that_cannot_hold_together_come_with_advice_that_works() -> None:
    labels = np.kron(np.eye(8, dtype=np.int8), np.ones((2, 1), dtype=np.int8))
    labels = np.vstack([labels, np.zeros((184, 8), dtype=np.int8)])
    names = [f"T{i}" for i in range(8)]
    with pytest.raises(UsageError, match="no number of images is enough") as caught:
        plan_balance(labels, targets=range(8), share=SHARE, names=names)
    text = str(caught.value)
    share = text.split("--share to ")[1].split(",")[0]
    assert plan_balance(labels, targets=range(8), share=Fraction(share), names=names).synthetic > 0
    kept = [int(word.split("'")[1][1:]) for word in text.split("--target ")[1:]]
    assert 0 < len(kept) < 8
    assert plan_balance(labels, targets=kept, share=SHARE).synthetic > 0


def test_too_many_images_per_real_one_name_the_flag_that_allows_it() -> None:
    labels = np.zeros((100, 1), dtype=np.int8)
    labels[0] = 1
    with pytest.raises(UsageError, match="--max-per-real 9") as caught:
        plan_balance(labels, targets=[0], share=Fraction(9, 10))
    assert "no number of images" not in str(caught.value)
    plan = plan_balance(labels, targets=[0], share=Fraction(9, 10), max_per_real=9)
    assert plan.synthetic == 890


def test_a_target_twice_and_none_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        plan_balance(np.eye(3), targets=[0, 0], share=SHARE)
    with pytest.raises(UsageError, match="There is no target"):
        plan_balance(np.eye(3), targets=[], share=SHARE)


def test_a_million_rows_take_seconds(random_labels: RandomLabels) -> None:
    labels = random_labels(1_000_000, [0.01, 0.02, 0.03, 0.3], 0)
    start = time.perf_counter()
    plan = plan_balance(labels, targets=[0, 1, 2], share=SHARE)
    assert time.perf_counter() - start < 20
    assert not plan.proof().broken()
