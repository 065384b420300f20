"""Features of images, by which judges compare sets of them: of pixels, or of a classifier.

A feature depends on its image alone: not on its neighbours in a block, nor on the number of
threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from builder.audit.blockwise import one_core
from builder.audit.pictures import BLOCK, Pictures, resized
from builder.contract import Bytes, CheckError, ImageSpec, UsageError, sha256_file
from builder.contract.cores import usable_cores
from builder.contract.networks import DENSENET, Halves, halves
from builder.contract.weights import load_network, read_header, scale
from builder.progress import Progress

if TYPE_CHECKING:
    from torch import nn

PIXEL_SIDE = 32  # pixels that images are reduced to
PIXEL_FEATURES = 64  # at most
FITTED = 20_000  # images, at most, that the principal components are of
_BATCH_PIXELS = 2**16  # that go through the network at a time: 16 images of 64×64 pixels

Floats = npt.NDArray[np.float32]
Treat = Callable[[Bytes], Bytes]  # uint8 [n, H, W] → the same shape, such as a blur


class Extractor(Protocol):
    """What makes features of images."""

    @property
    def identity(self) -> str:
        """What it is, for the record; with a digest where it is a file."""

    def __call__(self, images: Bytes) -> Floats:
        """float32 [n, D] of uint8 [n, H, W]."""


def features_of(
    extractor: Extractor, pictures: Pictures, show: Progress, treat: Treat | None = None
) -> Floats:
    """float32 [N, D]: features of every image, block by block; of what `treat` makes of them."""
    parts = []
    with show("features", len(pictures)) as advance:
        for block in pictures.blocks():
            parts.append(extractor(block if treat is None else treat(block)))
            advance(len(block))
    return np.concatenate(parts)


def pixel_features(train: Pictures) -> "PixelFeatures":
    """Principal components of images at 32×32 pixels, each with variance 1 over `train`.

    For where there is no classifier. UsageError where `train` has fewer than two distinct images.
    """
    mean, covariance = _moments(train.reduced[:: max(1, -(-len(train) // FITTED))])
    values, vectors = _eigh(covariance)
    found = values > 1e-3  # squared grey values: below that, rounding alone
    values, vectors = values[found][:PIXEL_FEATURES], vectors[:, found][:, :PIXEL_FEATURES]
    if not len(values):
        raise UsageError(
            f"Features need real training images that differ: found {len(train)} images, all the"
            " same; audit a dataset with more of them."
        )
    return PixelFeatures(
        axes=_rounded(vectors, 2.0**-16), mean=_rounded(mean, 2.0**-8), deviation=np.sqrt(values)
    )


def classifier_features(file: Path) -> "ClassifierFeatures":
    """What the last layer of the network in a file of xtrain sees: in DenseNet-121 pooled features.

    UsageError or CheckError where there is no such file.
    """
    header = read_header(file)
    usual = header.network == DENSENET
    what = "DenseNet-121 of xtrain, 1024 pooled" if usual else f"{header.network} of xtrain, last"
    return ClassifierFeatures(
        file=file,
        identity=f"{what} features, sha256:{sha256_file(file)}",
        pathologies=header.pathologies,
        image=header.image,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelFeatures:
    """Projections of reduced images on axes that were fitted to real training images."""

    axes: npt.NDArray[np.float64]  # [1024, D], multiples of 2**-16
    mean: npt.NDArray[np.float64]  # [1024], grey values, multiples of 2**-8
    deviation: npt.NDArray[np.float64]  # [D], of the training images along each axis

    @property
    def identity(self) -> str:
        """What they are."""
        count = self.axes.shape[1]
        return f"{count} principal components of the training images' pixels at 32×32, whitened"

    def __call__(self, images: Bytes) -> Floats:
        """float32 [n, D] of uint8 [n, H, W]."""
        projected = _flat(images) @ self.axes - self.mean @ self.axes
        return (projected / self.deviation).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassifierFeatures:
    """Features and probabilities of images by the network of a file of xtrain.

    Images of another size than the network's are resized by Pillow's Lanczos filter, the one that
    real radiographs are prepared with.
    """

    file: Path
    identity: str
    pathologies: tuple[str, ...]
    image: ImageSpec  # of the images that the network was trained on

    def __call__(self, images: Bytes) -> Floats:
        """float32 [n, D] of uint8 [n, H, W]; D is 1024 in DenseNet-121."""
        return self.read(images)[0]

    def probabilities(self, images: Bytes) -> Floats:
        """float32 [n, L] of uint8 [n, H, W]; columns as in `pathologies`."""
        return self.read(images)[1]

    def read(self, images: Bytes) -> tuple[Floats, Floats]:
        """Features float32 [n, D] and probabilities float32 [n, L] of uint8 [n, H, W]."""
        import torch

        step = max(1, _BATCH_PIXELS // (self.image.height * self.image.width))
        batches = [images[start : start + step] for start in range(0, len(images), step)]
        device = next(self.network.parameters()).device
        threads = 1 if device.type == "cuda" else min(8, usable_cores())
        network = self._halves  # made before there are threads: it takes the network apart
        # One core a batch: how a sum is shared between cores would change its last bits.
        with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
            parts = list(pool.map(lambda batch: self._read(batch, step, network), batches))
        features, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not (np.isfinite(features).all() and np.isfinite(probabilities).all()):
            raise CheckError(f"{self.file} makes features that are not finite: use another run's.")
        return features, probabilities

    @cached_property
    def network(self) -> "nn.Module":
        """The network on its device, read once."""
        import torch

        network, _ = load_network(self.file)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return network.to(device).to(memory_format=torch.channels_last)

    @cached_property
    def _halves(self) -> Halves:
        """Images to what the last layer sees, and that to logits."""
        return halves(self.network)

    def _read(self, images: Bytes, step: int, network: Halves) -> tuple[Floats, Floats]:
        """Of at most `step` images; padded to as many, since kernels differ by batch size."""
        import torch

        sized = np.stack(
            [resized(image, self.image.height, self.image.width, "LANCZOS") for image in images]
        )
        batch = torch.from_numpy(np.resize(sized, (step, *sized.shape[1:]))[:, None])
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with torch.inference_mode(), exact:
            pool, last = network
            pooled = pool(scale(batch.to(next(self.network.parameters()).device)))
            seen = torch.sigmoid(last(pooled))
        features, probabilities = pooled.cpu().numpy(), seen.cpu().numpy()
        return features[: len(images)], probabilities[: len(images)]


def _moments(images: Bytes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean [1024] and covariance [1024, 1024] of flat images; exact sums of whole numbers."""
    total, products = np.zeros(PIXEL_SIDE**2), np.zeros((PIXEL_SIDE**2, PIXEL_SIDE**2))
    for start in range(0, len(images), BLOCK):
        flat = _flat(images[start : start + BLOCK])
        total += flat.sum(axis=0)
        products += flat.T @ flat
    mean = total / max(1, len(images))
    return mean, products / max(1, len(images)) - np.outer(mean, mean)


def _flat(images: Bytes) -> npt.NDArray[np.float64]:
    """[n, 1024]: whole grey values, means of areas, of uint8 [n, H, W]."""
    small = [resized(image, PIXEL_SIDE, PIXEL_SIDE, "BOX") for image in images]
    return np.stack(small).reshape(len(small), -1).astype(np.float64)


def _eigh(
    matrix: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Eigenvalues, the largest first, and eigenvectors in columns; on one thread, to the bit."""
    with one_core():
        values, vectors = np.linalg.eigh(matrix)
    return values[::-1], vectors[:, ::-1]


def _rounded(values: npt.NDArray[np.float64], step: float) -> npt.NDArray[np.float64]:
    """Multiples of a power of two, few enough bits that sums with grey values are exact."""
    return np.round(values / step) * step
