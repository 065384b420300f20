"""Sealed pictures made on the spot: given pixels, labels and patients."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from builder.audit.pictures import Pictures, Sealed, read_pictures
from builder.contract import Bytes, ImageSpec, Index, IndexEntry, Labels, Manifest
from builder.progress import Advance
from builder.write.encode import encode

MakePictures = Callable[..., Pictures]


@contextmanager
def silent(title: str, total: int, unit: str = "images") -> Iterator[Advance]:  # noqa: ARG001
    """No progress bar."""
    yield lambda _: None


@pytest.fixture(scope="session")
def show() -> object:
    return silent


@pytest.fixture(scope="session")
def make_pictures(tmp_path_factory: pytest.TempPathFactory) -> MakePictures:
    """Pictures of uint8 [N, H, W]; each of a patient of its own, if `patients` names none.

    Synthetic ones have no patients. Keys are unique among all that are made.
    """
    numbers = itertools.count()

    def make(
        images: Bytes,
        *,
        labels: Labels | None = None,
        patients: npt.NDArray[np.object_] | None = None,
        origin: str = "real",
        split: str = "train",
        codec: ImageSpec | None = None,
    ) -> Pictures:
        folder, count = tmp_path_factory.mktemp("pictures"), len(images)
        height, width = images.shape[1:]
        spec = codec or ImageSpec(height=height, width=width, codec="png", quality=0)
        members = [encode(image, spec) for image in images]
        (folder / "all.tar").write_bytes(b"".join(members))
        sizes = np.array([len(member) for member in members], np.int32)
        labels = np.zeros((count, 2), np.int8) if labels is None else labels
        keys = words(f"{origin}-{next(numbers):08d}" for _ in range(count))
        own = words("" for _ in range(count)) if origin == "synthetic" else keys
        blank = words("" for _ in range(count))
        index = Index(
            key=keys,
            split=words(split for _ in range(count)),
            origin=words(origin for _ in range(count)),
            shard=words("all.tar" for _ in range(count)),
            offset=np.cumsum(sizes, dtype=np.int64) - sizes,
            size=sizes,
            labels=labels,
            target=blank,
            draw=np.full(count, -1),
            patient=own if patients is None else patients,
            **dict.fromkeys(("view", "sex", "age"), blank),
            sketch=np.zeros((count, 0), np.uint8),
        )
        manifest = Manifest(
            schema=2,
            name="pictures",
            pathologies=tuple(f"P{i}" for i in range(labels.shape[1])),
            image=spec,
            recipe={},
            plan=None,
            generator=None,
            source={},
            software={},
            index=IndexEntry(url="manifests/pictures.parquet", rows=count, sha256="0" * 64),
            shardlist=(),
        )
        sealed = Sealed(manifest=manifest, root=Path(folder), index=index)
        return read_pictures(sealed, np.arange(count), folder, silent)

    return make


@pytest.fixture(scope="session")
def chests() -> Callable[[int, int], Bytes]:
    """Smooth random fields with grain, uint8 [count, 64, 64], by count and seed."""

    def make(count: int, seed: int) -> Bytes:
        random = np.random.default_rng(seed)
        fields = np.kron(random.normal(0, 30, (count, 8, 8)), np.ones((8, 8)))
        grain = random.normal(0, 8, (count, 64, 64))
        return (fields + grain + 128).clip(0, 255).astype(np.uint8)

    return make


def words(values: Iterator[str]) -> npt.NDArray[np.object_]:
    return np.array([*values], np.object_)
