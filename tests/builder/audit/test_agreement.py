"""Synthetic "chests" whose targets are bright spots: P0 in one corner, P1 in another."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from builder.audit.agreement import judge_agreement
from builder.audit.pictures import Pictures
from builder.audit.settings import Settings
from builder.contract import Bytes, Labels, PlanProof, TargetCount
from builder.contract.audit import Agreement
from builder.progress import Progress

TARGETS = ("P0", "P1")
SETTINGS = replace(Settings(), resamples=100)
Judge = Callable[..., tuple[tuple[Agreement, ...], tuple[str, ...]]]


def planned(pictures: Pictures, targets: tuple[str, ...] = TARGETS) -> Pictures:
    """The same with a plan, which names the targets."""
    counts = [
        TargetCount(pathology=name, real_positives=1, render=1, positives=1, share=0.5)
        for name in targets
    ]
    plan = PlanProof(share=(1, 9), real=1, synthetic=1, lower_bound=1, targets=tuple(counts))
    manifest = replace(pictures.sealed.manifest, plan=plan)
    return replace(pictures, sealed=replace(pictures.sealed, manifest=manifest))


def spotted(chests: Callable[[int, int], Bytes], labels: Labels, seed: int, size: int) -> Bytes:
    images = chests(len(labels), seed)
    for column, place in enumerate((8, 40)):
        spots = images[labels[:, column] == 1]
        spots[:, place : place + size, place : place + size] //= 3
        images[labels[:, column] == 1] = spots
    return images


def vectors(count: int, healthy: float, seed: int) -> Labels:
    """Label vectors with one target each, besides those of healthy people."""
    random = np.random.default_rng(seed)
    labels = np.zeros((count, 2), np.int8)
    labels[np.arange(count), random.integers(0, 2, count)] = 1
    labels[random.random(count) < healthy] = 0
    return labels


@pytest.fixture(scope="module")
def agreement(
    make_pictures: Callable[..., Pictures], chests: Callable[[int, int], Bytes], show: Progress
) -> Judge:
    labels = vectors(500, 0.6, 1)
    images = spotted(chests, labels, 1, 10)
    train = make_pictures(images[:350], labels=labels[:350])
    held_out = make_pictures(images[350:], labels=labels[350:], split="val")

    def of(
        synthetic: Pictures, classifier: object = None, real: bool = True
    ) -> tuple[tuple[Agreement, ...], tuple[str, ...]]:
        other = held_out if real else held_out.take(np.arange(0))
        return judge_agreement(
            synthetic, train, other, settings=SETTINGS, show=show, classifier=classifier
        )

    return of


@pytest.fixture(scope="module")
def honest(make_pictures: Callable[..., Pictures], chests: Callable[[int, int], Bytes]) -> Pictures:
    labels = vectors(300, 0, 2)
    images = spotted(chests, labels, 3, 10)
    return planned(make_pictures(images, labels=labels, origin="synthetic"))


def with_labels(pictures: Pictures, labels: Labels) -> Pictures:
    index = replace(pictures.sealed.index, labels=labels)
    return replace(pictures, sealed=replace(pictures.sealed, index=index))


def test_honest_labels_agree(agreement: Judge, honest: Pictures) -> None:
    found, notes = agreement(honest)
    assert [each.target for each in found] == [*TARGETS]
    for each in found:
        assert each.tells
        assert not each.disagrees
        assert each.real is not None
        assert each.synthetic.value > 0.8
        assert each.positives + each.negatives == 300
        assert each.real_positives + each.real_negatives == 500  # train, cross-fitted, and others
        assert "500 real images" in each.classifier
    assert notes == ()


def test_shuffled_labels_are_caught(agreement: Judge, honest: Pictures) -> None:
    labels = np.random.default_rng(4).permutation(honest.labels)
    found, _ = agreement(with_labels(honest, labels))
    assert all(each.disagrees for each in found)
    assert all(each.synthetic.low < 0.5 < each.synthetic.high for each in found)


def test_what_is_not_seen_in_real_images_says_nothing(
    make_pictures: Callable[..., Pictures],
    chests: Callable[[int, int], Bytes],
    honest: Pictures,
    show: Progress,
) -> None:
    labels = vectors(200, 0.5, 6)
    train = make_pictures(chests(200, 7), labels=labels)  # without any spot
    found, notes = judge_agreement(
        honest, train, train.take(np.arange(0)), settings=SETTINGS, show=show
    )
    assert not any(each.tells or each.disagrees for each in found)
    assert len(notes) == 2
    assert "hardly finds P0 in real images" in notes[0]


@dataclass(frozen=True)
class Corner:
    """A classifier that knows where P0's spot is, and knows P0 alone."""

    identity: str = "a corner"
    pathologies: tuple[str, ...] = ("Else", "P0")

    def probabilities(self, images: Bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        dark = 255 - images[:, 8:18, 8:18].mean(axis=(1, 2))
        return np.stack([np.zeros(len(images)), dark / 255], axis=1).astype(np.float32)


def test_a_given_classifier_scores_held_out_images_alone(
    agreement: Judge, honest: Pictures
) -> None:
    (found,), notes = agreement(honest, Corner())
    assert found.target == "P0"
    assert found.classifier == "a corner"
    assert found.tells
    assert not found.disagrees
    assert found.real_positives + found.real_negatives == 150
    assert "P1 is not among the labels looked at" in notes[0]
    shuffled = with_labels(honest, np.random.default_rng(5).permutation(honest.labels))
    assert agreement(shuffled, Corner())[0][0].disagrees


def test_without_held_out_images_a_given_classifier_cannot_be_compared(
    agreement: Judge, honest: Pictures
) -> None:
    (found,), notes = agreement(honest, Corner(), real=False)
    assert found.real is None
    assert not found.tells
    assert not found.disagrees
    assert "too few real images" in notes[0]
    both, _ = agreement(honest, real=False)  # the probe has its training images
    assert all(each.tells for each in both)


def test_unknown_labels_are_left_out(agreement: Judge, honest: Pictures) -> None:
    labels = honest.labels.copy()
    labels[:100, 0] = -1
    found, _ = agreement(with_labels(honest, labels))
    assert found[0].positives + found[0].negatives == 200
    assert found[1].positives + found[1].negatives == 300


def test_targets_that_cannot_be_looked_at_are_named(agreement: Judge, honest: Pictures) -> None:
    labels = np.ones_like(honest.labels)
    labels[:20, 1] = 0
    (found,), notes = agreement(with_labels(honest, labels))
    assert found.target == "P1"
    assert notes[0] == (
        "P0 is not among the labels looked at: there are too few synthetic images with or without "
        "it (300 and 0, and it takes 10 of each)."
    )
    assert agreement(planned(honest, ()))[0] == ()
    assert "takes targets" in agreement(planned(honest, ()))[1][0]
    nobody, notes = agreement(planned(honest, ("Unheard of",)))
    assert nobody == ()
    assert "Unheard of is not among" in notes[0]


def test_a_target_that_the_classifier_does_not_know_is_not_said_to_have_too_few_images(
    agreement: Judge, honest: Pictures
) -> None:
    _, notes = agreement(honest, Corner())
    assert notes[0].endswith("was not trained for it, or there are too few real images with it.")


def test_negatives_are_weighted_to_hold_the_other_targets_as_often() -> None:
    """A classifier that finds only sick people finds no target among them."""
    from builder.audit.agreement import _Target, _weights

    real = _Target(
        positive=np.repeat([True, False], [20, 180]),
        scores=np.zeros(200),
        patients=np.arange(200).astype(object),
        other=np.repeat([-1, 1, 2, -1], [20, 40, 40, 100]),
    )
    fake = _Target(
        positive=np.repeat([True, False], [50, 90]),
        scores=np.zeros(140),
        patients=np.arange(140).astype(object),
        other=np.repeat([-1, 1, 2], [50, 60, 30]),
    )
    weights = _weights(real, fake)
    assert weights[:20].tolist() == [1] * 20
    assert weights[real.other == 1].tolist() == [60 / 40] * 40
    assert weights[real.other == 2].tolist() == [30 / 40] * 40
    assert not weights[100:].any()
    healthy = replace(fake, other=np.full(140, 5))
    assert (_weights(real, healthy) == 1).all()  # nobody has it: as they are
