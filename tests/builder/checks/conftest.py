"""Smooth random fields as radiographs, and shards of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from builder.checks import Context
from builder.contract import Bytes, ImageSpec, Labels, Sample, Split
from builder.recipe import Layout
from builder.write import Painter, ShardJob, write_shard

SPEC = ImageSpec(height=48, width=48, codec="png", quality=0)


@pytest.fixture(scope="session")
def radiographs() -> Callable[[int, int], Bytes]:
    """Smooth random fields uint8 [count, 48, 48], by count and seed."""

    def make(count: int, seed: int) -> Bytes:
        coarse = np.random.default_rng(seed).normal(0, 1, (count, 6, 6))
        fields = np.kron(coarse, np.ones((8, 8)))
        return (fields * 30 + 128).clip(0, 255).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def noisy() -> Callable[[Bytes, float], Bytes]:
    """The images with noise of some grey levels."""

    def make(images: Bytes, strength: float) -> Bytes:
        noise = np.random.default_rng(9).normal(0, strength, images.shape)
        return (images + noise).clip(0, 255).astype(np.uint8)

    return make


@pytest.fixture
def packed(
    tmp_path: Path, real: Callable[..., Sample], painter_of: Callable[..., Painter]
) -> Callable[..., Context]:
    """Real images and labels [N, 2] of Edema and Mass in shards, two for each split."""

    def make(**splits: tuple[Bytes, Labels]) -> Context:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        layout = Layout(root=tmp_path, pathologies=("Edema", "Mass"), image=SPEC)
        shards = [
            write_shard(job)
            for split, (images, labels) in splits.items()
            for job in _jobs(layout, split, images, labels)
        ]
        return Context(
            layout=layout,
            shards=tuple(shard.entry for shard in shards if shard.entry),
            scratch=scratch,
        )

    def _jobs(layout: Layout, split: Split, images: Bytes, labels: Labels) -> Iterator[ShardJob]:
        for part in range(2):
            rows = labels[part::2].tolist()
            yield ShardJob(
                layout=layout,
                url=f"shards/real/{split}-{part:05d}-of-00002.tar",
                samples=tuple(real(2 * i + part, tuple(r), split) for i, r in enumerate(rows)),
                painter=painter_of(images[part::2]),
            )

    return make


# A fifth of its images are empty, a fifth of the others are one and the same.
BROKEN = """
import numpy as np

class Broken:
    labels, resolution, latent_size = ("Mass", "Pleural_Thickening"), 32, 4

    def __call__(self, latents, labels):
        fixed = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
        images = []
        for row in latents:
            seed = int(abs(row).sum() * 1e6)
            image = np.random.default_rng(seed).integers(0, 255, (32, 32), dtype=np.uint8)
            images.append(np.zeros_like(image) if seed % 5 == 0 else
                          fixed if seed % 5 == 1 else image)
        return np.stack(images)

def load(argument, image_size):
    return Broken()

class Never:
    needs = ()

    def __init__(self, word):
        self.identity, self.word = "never:" + word, word

    def prepared(self, context, targets):
        return self

    def __call__(self, images, samples):
        return ["it is too " + self.word] * len(images)
"""


@pytest.fixture(scope="session")
def broken(
    tmp_path_factory: pytest.TempPathFactory,
    install_package: Callable[[Path, str, str, str], None],
) -> Path:
    """A folder with an installed package: the generator `broken` and the check `never`."""
    folder = tmp_path_factory.mktemp("package")
    entry_points = (
        "[cxr_rebalance.generators]\nbroken = broken_gan:load\n"
        "[cxr_rebalance.checks]\nnever = broken_gan:Never\n"
    )
    install_package(folder, "broken_gan", BROKEN, entry_points)
    return folder
