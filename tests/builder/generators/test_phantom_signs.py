"""The signs of the pathologies: visible, in their place, unlike each other, and learnable."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from builder.generators.phantom import SIGNS, Phantom
from builder.generators.phantom_body import NUISANCE
from builder.render import Floats

Draw = Callable[..., Floats]
Differences = npt.NDArray[np.int64]
Change = Callable[[str, Floats], Differences]
Array = npt.NDArray[Any]

PATHOLOGIES = [name for name in SIGNS if name != "No Finding"]
MIDLINE = ["Enlarged Cardiomediastinum", "Cardiomegaly", "Hernia"]
BOTH_SIDES = ["Edema", "Infiltration", "Emphysema", "Fibrosis", "Pleural Effusion"]
ONE_SIDE = [name for name in PATHOLOGIES if name not in MIDLINE + BOTH_SIDES]
SMALL = ["Lung Lesion", "Fracture", "Pleural Other", "Nodule"]
DARKER = ["Pneumothorax", "Emphysema"]


@pytest.fixture
def change(phantom: Phantom, label_rows: Draw) -> Change:
    """What one pathology adds to each healthy phantom, int64 [B, H, W]."""

    def differences(name: str, latents: Floats) -> Differences:
        healthy = phantom(latents, label_rows(len(latents))).astype(np.int64)
        return phantom(latents, label_rows(len(latents), name)) - healthy

    return differences


def test_no_finding_has_no_sign(change: Change, draw_latents: Draw) -> None:
    assert not change("No Finding", draw_latents(4)).any()


@pytest.mark.parametrize("name", PATHOLOGIES)
def test_every_pathology_shows_in_every_image(
    change: Change, draw_latents: Draw, name: str
) -> None:
    visible = (np.abs(change(name, draw_latents(100))) >= 12).sum(axis=(1, 2))
    assert np.median(visible) >= (12 if name in SMALL else 40)
    assert visible.min() >= 4


@pytest.mark.parametrize("name", SMALL)
def test_a_small_sign_leaves_the_rest_of_the_image_alone(
    change: Change, draw_latents: Draw, name: str
) -> None:
    assert (change(name, draw_latents(40)) != 0).mean(axis=(1, 2)).max() < 0.06


@pytest.mark.parametrize("name", PATHOLOGIES)
def test_a_sign_lies_on_the_side_it_should(change: Change, draw_latents: Draw, name: str) -> None:
    upright = draw_latents(60)
    upright[:, : len(NUISANCE)] = 0.0
    size = np.abs(change(name, upright)).sum(axis=1)
    left = size[:, :32].sum(axis=1) / size.sum(axis=1)
    one_sided = (left < 0.1) | (left > 0.9)
    if name in ONE_SIDE:
        assert one_sided.all()
        assert 0.2 < (left > 0.5).mean() < 0.8
    elif name != "Pleural Effusion":
        assert not one_sided.any()
    else:
        assert 0.1 < one_sided.mean() < 0.9


@pytest.mark.parametrize("name", PATHOLOGIES)
def test_a_sign_is_brighter_or_darker_as_it_should(
    change: Change, draw_latents: Draw, name: str
) -> None:
    total = change(name, draw_latents(60)).sum(axis=(1, 2))
    if name in DARKER:
        assert (total < 0).mean() > 0.9
    elif name not in ("Fracture", "Hernia"):
        assert (total > 0).mean() > 0.9


def test_no_two_pathologies_look_alike(change: Change, draw_latents: Draw) -> None:
    latents = draw_latents(6)
    changes = {name: change(name, latents) for name in PATHOLOGIES}
    for one, other in combinations(PATHOLOGIES, 2):
        gap = np.abs(changes[one] - changes[other]).max(axis=(1, 2))
        assert gap.min() >= 20, (one, other)


# --- a classifier without a network --------------------------------------------------------------


def normal_patches(image: Array, size: int = 8) -> Array:
    windows = sliding_window_view(image, (size, size))[::2, ::2]
    flat = windows.reshape(-1, size * size).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / (flat.std(axis=1, keepdims=True) + 8)


def patch_filters(images: Array, count: int = 64) -> Array:
    """Random image patches, whitened: the filters of a one-layer network without training."""
    random = np.random.default_rng(0)
    picked = (normal_patches(images[row]) for row in random.integers(len(images), size=1500))
    sample = np.stack([patches[random.integers(len(patches))] for patches in picked])
    values, axes = np.linalg.eigh(sample.T @ sample / len(sample) + 0.05 * np.eye(sample.shape[1]))
    filters = sample[:count] @ (axes / values) @ axes.T
    return (filters / (np.linalg.norm(filters, axis=1, keepdims=True) + 1e-3)).T.astype(np.float32)


def features(images: Array, filters: Array) -> Array:
    """The strongest response of every filter in each of 4 × 4 cells, and 16 × 16 mean greys."""
    rows = []
    for image in images:
        response = (normal_patches(image) @ filters).reshape(29, 29, -1)[:28, :28]
        strongest = response.reshape(4, 7, 4, 7, -1).max(axis=(1, 3))
        coarse = image.reshape(16, 4, 16, 4).mean(axis=(1, 3))
        rows.append(np.concatenate([strongest.ravel(), coarse.ravel()]))
    return np.array(rows)


def test_a_linear_model_learns_every_pathology_among_all_others(
    phantom: Phantom, draw_latents: Draw
) -> None:
    labels = np.random.default_rng(7).random((1500, len(phantom.labels))) < 0.25
    images = phantom(draw_latents(1500, seed=8), labels.astype(np.float32))
    with threadpool_limits(limits=1):  # threads that wait for a busy core cost tenfold
        rows = features(images, patch_filters(images[:1000]))
        rows = (rows - rows[:1000].mean(axis=0)) / (rows[:1000].std(axis=0) + 1e-6)
        scores = Ridge(alpha=3000).fit(rows[:1000], labels[:1000]).predict(rows[1000:])
    auc = {
        name: roc_auc_score(labels[1000:, column], scores[:, column])
        for column, name in enumerate(phantom.labels)
    }
    # "No Finding" was drawn by a coin and has no sign: what it reaches is what chance reaches.
    assert abs(auc.pop("No Finding") - 0.5) < 0.08
    assert min(auc.values()) > 0.58, auc
    assert np.mean(list(auc.values())) > 0.8, auc
