import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from builder.audit.features import (
    ClassifierFeatures,
    PixelFeatures,
    classifier_features,
    features_of,
    pixel_features,
)
from builder.audit.pictures import Pictures
from builder.contract import Bytes, CheckError, ImageSpec, UsageError
from builder.contract.weights import WeightsHeader, make_network, weights_bytes
from builder.progress import Progress

MakePictures = Callable[..., Pictures]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as xtrain saves it, with random weights, for images of 32 pixels."""
    path = tmp_path_factory.mktemp("classifier") / "best.safetensors"
    torch.manual_seed(0)
    header = WeightsHeader(
        pathologies=("Edema", "Mass"),
        image=ImageSpec(height=32, width=32, codec="png", quality=0),
        manifest="0" * 64,
        epoch=1,
    )
    path.write_bytes(weights_bytes(make_network(2), header))
    return path


@pytest.fixture(scope="module")
def classifier(file: Path) -> ClassifierFeatures:
    return classifier_features(file)


@pytest.fixture(scope="module")
def train(make_pictures: MakePictures, chests: Callable[[int, int], Bytes]) -> Pictures:
    return make_pictures(chests(400, 0))


@pytest.fixture(scope="module")
def pixels(train: Pictures) -> PixelFeatures:
    return pixel_features(train)


def test_pixel_features_of_train_are_white(
    train: Pictures, pixels: PixelFeatures, show: Progress
) -> None:
    extractor = pixels
    features = features_of(extractor, train, show)
    assert features.shape == (400, 64)
    assert features.dtype == np.float32
    assert np.abs(features.mean(axis=0)).max() < 1e-3  # the mean is rounded
    assert np.allclose(np.cov(features.T, bias=True), np.eye(64), atol=1e-3)
    assert "64 principal components" in extractor.identity


def test_pixel_features_are_the_same_for_any_number_of_threads(
    train: Pictures, show: Progress
) -> None:
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(features_of(pixel_features(train), train, show))
    assert np.array_equal(found[0], found[1])


def test_few_images_have_few_features_and_images_that_are_all_the_same_none(
    make_pictures: MakePictures, chests: Callable[[int, int], Bytes]
) -> None:
    assert pixel_features(make_pictures(chests(5, 0)))(chests(3, 1)).shape == (3, 4)
    with pytest.raises(UsageError, match="found 2 images, all the same"):
        pixel_features(make_pictures(np.full((2, 64, 64), 7, np.uint8)))


def test_a_treatment_is_applied_to_the_images_themselves(
    train: Pictures, pixels: PixelFeatures, show: Progress
) -> None:
    treated = features_of(pixels, train, show, treat=lambda block: 255 - block)
    assert np.array_equal(treated, pixels(255 - np.concatenate([*train.blocks()])))


def test_the_classifiers_features_give_its_probabilities(
    classifier: ClassifierFeatures, chests: Callable[[int, int], Bytes]
) -> None:
    images = chests(5, 0)[:, ::2, ::2]
    features, seen = classifier.read(images)
    assert features.shape == (5, 1024)
    assert classifier.pathologies == ("Edema", "Mass")
    last = classifier.network.classifier
    with torch.no_grad():
        logits = last(torch.from_numpy(features))
        whole = classifier.network(torch.from_numpy(images[:, None]) / 255 * 2048 - 1024)
    assert np.allclose(seen, torch.sigmoid(logits), atol=1e-6)
    assert np.allclose(seen, torch.sigmoid(whole), atol=1e-4)


def test_a_feature_depends_neither_on_neighbours_nor_on_threads(
    classifier: ClassifierFeatures,
    chests: Callable[[int, int], Bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = chests(70, 0)  # a batch is 64 of them
    every = classifier(images)
    assert np.array_equal(classifier(images[3:4]), every[3:4])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert np.array_equal(classifier(images), every)
    finally:
        torch.set_num_threads(before)


def test_images_of_another_size_are_resized(
    classifier: ClassifierFeatures, chests: Callable[[int, int], Bytes]
) -> None:
    from PIL import Image

    images = chests(2, 0)
    small = [
        np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.LANCZOS))
        for image in images
    ]
    assert np.array_equal(classifier(images), classifier(np.stack(small)))


def test_a_file_that_is_no_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        classifier_features(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckError, match="damaged"):
        classifier_features(tmp_path / "bad.safetensors")
