import hashlib
from itertools import combinations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from builder.contract import UsageError
from builder.generators.phantom import SIGNS, Phantom, Place, load
from builder.generators.phantom_body import NUISANCE, Film, noise_banks
from builder.generators.phantom_flaws import FEW, FLAWS, NAMES

CHEXPERT = [
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
]
NIH_ONLY = [
    "Infiltration",
    "Mass",
    "Nodule",
    "Emphysema",
    "Fibrosis",
    "Pleural Thickening",
    "Hernia",
]
PATHOLOGIES = [name for name in SIGNS if name != "No Finding"]
MIDLINE = ["Enlarged Cardiomediastinum", "Cardiomegaly", "Hernia"]
BOTH_SIDES = ["Edema", "Infiltration", "Emphysema", "Fibrosis", "Pleural Effusion"]
ONE_SIDE = [name for name in PATHOLOGIES if name not in MIDLINE + BOTH_SIDES]
SMALL = ["Lung Lesion", "Fracture", "Pleural Other", "Nodule"]
DARKER = ["Pneumothorax", "Emphysema"]
PHANTOM = load("", 64)


def draw_latents(count, seed=0):
    words = np.random.default_rng(seed).standard_normal((count, PHANTOM.latent_size))
    return words.astype(np.float32)


def upright_latents(count, seed=0):
    latents = draw_latents(count, seed)
    latents[:, : len(NUISANCE)] = 0.0
    return latents


def label_rows(count, *names):
    labels = np.zeros((count, len(PHANTOM.labels)), np.float32)
    labels[:, [PHANTOM.labels.index(name) for name in names]] = 1.0
    return labels


def change(name, latents):
    healthy = PHANTOM(latents, label_rows(len(latents))).astype(np.int64)
    return PHANTOM(latents, label_rows(len(latents), name)) - healthy


def test_labels_are_chexperts_in_order_then_nihs_own():
    assert PHANTOM.labels == (*CHEXPERT, *NIH_ONLY)


@pytest.mark.parametrize("size", [16, 64, 100, 224])
def test_images_are_grey_squares_of_the_asked_size(size):
    phantom = load("", size)
    images = phantom(draw_latents(2), label_rows(2, "Edema"))
    assert phantom.resolution == size
    assert images.shape == (2, size, size)
    assert images.dtype == np.uint8
    assert images.max() > 180
    assert images.min() < 60


def test_an_empty_batch_gives_no_images():
    assert PHANTOM(draw_latents(0), label_rows(0)).shape == (0, 64, 64)


def test_the_same_bytes_on_every_machine():
    # Counted, not drawn: a stream of numpy's Generator may change with its version.
    count = np.arange(8 * PHANTOM.latent_size).reshape(8, -1)
    latents = ((count * 7919 % 1000 - 500) / 200).astype(np.float32)
    labels = (latents[:, : len(PHANTOM.labels)] > 0).astype(np.float32)
    digest = hashlib.sha256(load("", 64)(latents, labels).tobytes()).hexdigest()
    assert digest[:16] == "e95752916c5d821c"


def test_an_image_does_not_depend_on_its_batch():
    latents = draw_latents(9)
    labels = (draw_latents(9, seed=1)[:, : len(PHANTOM.labels)] > 0).astype(np.float32)
    together = PHANTOM(latents, labels)
    order = np.array([4, 0, 8, 8, 2])
    assert np.array_equal(PHANTOM(latents[order], labels[order]), together[order])
    for row, image in enumerate(together):
        assert np.array_equal(PHANTOM(latents[row : row + 1], labels[row : row + 1])[0], image)


def test_a_label_counts_above_one_half_only():
    latents = draw_latents(5)
    labels = label_rows(5)
    labels[:, PHANTOM.labels.index("Mass")] = [0.5, -1.0, np.nan, 0.51, 1.0]
    shown = (PHANTOM(latents, labels) != PHANTOM(latents, label_rows(5))).any(axis=(1, 2))
    assert shown.tolist() == [False, False, False, True, True]


def test_no_finding_has_no_sign():
    assert not change("No Finding", draw_latents(4)).any()


@pytest.mark.parametrize("name", PATHOLOGIES)
def test_every_pathology_shows_in_every_image(name):
    visible = (np.abs(change(name, draw_latents(100))) >= 12).sum(axis=(1, 2))
    assert np.median(visible) >= (12 if name in SMALL else 40)
    assert visible.min() >= 4


@pytest.mark.parametrize("name", SMALL)
def test_a_small_sign_leaves_the_rest_of_the_image_alone(name):
    assert (change(name, draw_latents(40)) != 0).mean(axis=(1, 2)).max() < 0.06


@pytest.mark.parametrize("name", PATHOLOGIES)
def test_a_sign_lies_on_the_side_it_should(name):
    size = np.abs(change(name, upright_latents(60))).sum(axis=1)
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
def test_a_sign_is_brighter_or_darker_as_it_should(name):
    total = change(name, draw_latents(60)).sum(axis=(1, 2))
    if name in DARKER:
        assert (total < 0).mean() > 0.9
    elif name not in ("Fracture", "Hernia"):
        assert (total > 0).mean() > 0.9


def test_no_two_pathologies_look_alike():
    latents = draw_latents(6)
    changes = {name: change(name, latents) for name in PATHOLOGIES}
    for one, other in combinations(PATHOLOGIES, 2):
        gap = np.abs(changes[one] - changes[other]).max(axis=(1, 2))
        assert gap.min() >= 20, (one, other)


@pytest.mark.parametrize("number", range(len(NUISANCE)), ids=list(NUISANCE))
def test_every_nuisance_latent_moves_a_healthy_phantom(number):
    latents = np.zeros((2, PHANTOM.latent_size), np.float32)
    latents[:, number] = [-1.0, 1.0]
    low, high = PHANTOM(latents, label_rows(2)).astype(np.int64)
    assert np.abs(high - low).max() >= 5


def test_healthy_phantoms_vary_and_sign_latents_touch_them_not():
    latents = draw_latents(100)
    images = PHANTOM(latents, label_rows(100))
    assert images.std(axis=0).mean() > 20
    latents[:, len(NUISANCE) :] = 0.0
    assert np.array_equal(PHANTOM(latents, label_rows(100)), images)


def test_a_film_stays_float32_under_every_sign():
    axis = np.linspace(-1, 1, 64, dtype=np.float32)
    film = Film(axis, noise_banks(64), {name: sum(span) / 2 for name, span in NUISANCE.items()})
    for sign in SIGNS.values():
        sign(film, Place(1.0, 0.5, 0.5, 0.5))
    assert {plane.dtype for plane in (film.u, film.v, film.air, film.tissue)} == {np.dtype("f4")}


def test_wrong_input_is_refused_in_words():
    with pytest.raises(ValueError, match=r"latents must be \[B, \d+\], got \[2, 7\]"):
        PHANTOM(np.zeros((2, 7), np.float32), label_rows(2))
    with pytest.raises(ValueError, match=r"labels must be \[B, 21\], got \[21\]"):
        PHANTOM(draw_latents(1), label_rows(1)[0])
    with pytest.raises(ValueError, match="got 2 and 3 rows"):
        PHANTOM(draw_latents(2), label_rows(3))
    with pytest.raises(ValueError, match="finite"):
        PHANTOM(draw_latents(1) * np.float32(np.nan), label_rows(1))


@pytest.mark.parametrize(("argument", "size"), [("pretty", 64), ("", 15), ("", 1025)])
def test_load_refuses_what_it_cannot_draw(argument, size):
    with pytest.raises(UsageError, match="The phantom"):
        load(argument, size)


def test_load_gives_a_phantom():
    assert isinstance(load("", 1024), Phantom)


def normal_patches(image, size=8):
    windows = sliding_window_view(image, (size, size))[::2, ::2]
    flat = windows.reshape(-1, size * size).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / (flat.std(axis=1, keepdims=True) + 8)


def patch_filters(images, count=64):
    """Random image patches, whitened: the filters of a one-layer network without training."""
    rng = np.random.default_rng(0)
    picked = (normal_patches(images[row]) for row in rng.integers(len(images), size=1500))
    sample = np.stack([patches[rng.integers(len(patches))] for patches in picked])
    values, axes = np.linalg.eigh(sample.T @ sample / len(sample) + 0.05 * np.eye(sample.shape[1]))
    filters = sample[:count] @ (axes / values) @ axes.T
    return (filters / (np.linalg.norm(filters, axis=1, keepdims=True) + 1e-3)).T.astype(np.float32)


def features(images, filters):
    """The strongest response of every filter in each of 4 × 4 cells, and 16 × 16 mean greys."""
    rows = []
    for image in images:
        response = (normal_patches(image) @ filters).reshape(29, 29, -1)[:28, :28]
        strongest = response.reshape(4, 7, 4, 7, -1).max(axis=(1, 3))
        coarse = image.reshape(16, 4, 16, 4).mean(axis=(1, 3))
        rows.append(np.concatenate([strongest.ravel(), coarse.ravel()]))
    return np.array(rows)


@threadpool_limits.wrap(limits=1)  # small products: threads that wait for a busy core cost tenfold
def test_a_linear_model_learns_every_pathology_among_all_others():
    labels = np.random.default_rng(7).random((1500, len(PHANTOM.labels))) < 0.25
    images = PHANTOM(draw_latents(1500, seed=8), labels.astype(np.float32))
    rows = features(images, patch_filters(images[:1000]))
    rows = (rows - rows[:1000].mean(axis=0)) / (rows[:1000].std(axis=0) + 1e-6)
    scores = Ridge(alpha=3000).fit(rows[:1000], labels[:1000]).predict(rows[1000:])
    auc = {
        name: roc_auc_score(labels[1000:, column], scores[:, column])
        for column, name in enumerate(PHANTOM.labels)
    }
    # "No Finding" was drawn by a coin and has no sign: what it reaches is what chance reaches.
    assert abs(auc.pop("No Finding") - 0.5) < 0.08
    assert min(auc.values()) > 0.58, auc
    assert np.mean(list(auc.values())) > 0.8, auc


def test_shuffled_labels_say_how_many_signs_there_are_but_not_which():
    latents = draw_latents(4000, seed=9)
    labels = np.zeros((4000, len(PHANTOM.labels)), np.float32)
    labels[:, [4, 11]] = 1
    same, dealt = FLAWS["shuffled"](latents, labels)
    assert same is latents
    assert (dealt.sum(axis=1) == 2).all()
    assert np.abs(dealt[:, :NAMES].mean(axis=0) - 2 / NAMES).max() < 0.03
    assert not dealt[:, NAMES:].any()


def test_few_latents_make_few_images_with_the_right_signs():
    latents, labels = draw_latents(60, seed=9), np.zeros((60, len(PHANTOM.labels)), np.float32)
    labels[:, 4] = 1
    fixed, same = FLAWS["few"](latents, labels)
    assert (same == labels).all()
    images = load("", 32, flaw="few")(latents, labels)
    assert len(np.unique(images, axis=0)) == FEW
    assert (images == load("", 32)(fixed, labels)).all()


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flawed_image_depends_on_its_own_row_alone(flaw: str):
    latents, phantom = draw_latents(6, seed=2), load("", 32, flaw=flaw)
    labels = (np.random.default_rng(1).random((6, len(phantom.labels))) < 0.3).astype(np.float32)
    alone = [phantom(latents[i : i + 1], labels[i : i + 1])[0] for i in range(6)]
    assert (phantom(latents, labels) == np.array(alone)).all()
    assert (phantom(latents, labels) != load("", 32)(latents, labels)).any()


def test_an_unknown_flaw_is_refused():
    with pytest.raises(UsageError, match=r"flaw is shuffled or few, got 'deep'"):
        load("", 32, flaw="deep")
