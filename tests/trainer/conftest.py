"""A tiny sealed dataset, written without builder's own writer: only the contract is shared."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image

from builder.contract import (
    ImageSpec,
    Index,
    IndexEntry,
    Manifest,
    PlanProof,
    ShardEntry,
    TargetCount,
    index_bytes,
    load_index,
    save_manifest,
    write_last,
)
from trainer.fit.control import Control, Place
from trainer.fit.devices import connect
from trainer.recipe import Recipe
from trainer.stream.batches import Dataset, open_dataset
from trainer.stream.shards import Folder

SIDE = 32
NAMES = ("Hernia", "Lung Lesion", "Fracture")  # Hernia: positives in train only


@dataclass
class Sealed:
    """A dataset on disk and how to change it."""

    path: Path
    manifest: Manifest
    index: Index

    @property
    def root(self) -> Path:
        return self.path.parent.parent

    def save(self, **changes: object) -> None:
        """Seal again with other fields."""
        self.manifest = replace(self.manifest, **changes)  # type: ignore[arg-type]
        save_manifest(self.manifest, self.path)

    def reseal(self) -> None:
        """Make sizes and sha256 agree with the files as they are now."""
        shards = []
        for shard in self.manifest.shardlist:
            data = (self.root / shard.url).read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            shards.append(replace(shard, filesize=len(data), sha256=digest))
        self.save(shardlist=tuple(shards))

    def swap_text(self, old: str, new: str) -> None:
        """Edit the manifest's text, past every check of the contract."""
        text = self.path.read_text()
        assert old in text
        self.path.write_text(text.replace(old, new))


def picture(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pixels = rng.normal(110, 12, (SIDE, SIDE))
    if labels[1] == 1:
        pixels[4:14, 4:14] += 90
    if labels[2] == 1:
        pixels[:, 20:24] -= 80
    return np.clip(pixels, 0, 255).astype(np.uint8)


def encode(pixels: np.ndarray, codec: str) -> bytes:
    if codec == "jpg":
        return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels[:, :, None]), 95, "GRAY")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def seal(root: Path, *, counts: dict[tuple[str, str], int], codec: str = "jpg") -> Sealed:
    rng = np.random.default_rng(1)
    rows: list[tuple[object, ...]] = []
    labels: list[np.ndarray] = []
    shards = []
    for (split, origin), count in counts.items():
        for part in range(2):  # two shards of each kind
            url = f"shards/{origin}/{split}-{part:05d}-of-00002.tar"
            tar = io.BytesIO()
            offset = 0
            with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                numbers = range(part, count, 2)
                for i in numbers:
                    y = (rng.random(3) < (0.3, 0.4, 0.4)).astype(np.int8)
                    y[rng.random(3) < 0.08] = -1
                    if split != "train":
                        y[0] = min(y[0], 0)
                    if origin == "synthetic":  # drawn from the real ones
                        y = labels[int(rng.integers(counts["train", "real"]))]
                    key = f"{origin}-{split}-{i:04d}"
                    member = encode(picture(y, rng), codec)
                    target, draw = ("Lung Lesion", i) if origin == "synthetic" else ("", -1)
                    note = json.dumps({"key": key, "labels": y.tolist()}).encode()
                    for name, data in ((f"{key}.{codec}", member), (f"{key}.json", note)):
                        info = tarfile.TarInfo(name)
                        info.size = len(data)
                        if data is member:
                            offset = archive.offset + 512
                        archive.addfile(info, io.BytesIO(data))
                    patient = "" if origin == "synthetic" else f"p{split}{i // 3}"
                    rows.append(
                        (key, split, origin, url, offset, len(member), target, draw, patient)
                    )
                    labels.append(y)
            write_last(root / url, tar.getvalue())
            shards.append(
                ShardEntry(
                    url=url,
                    nsamples=len(numbers),
                    filesize=len(tar.getvalue()),
                    sha256=hashlib.sha256(tar.getvalue()).hexdigest(),
                    split=split,
                    origin=origin,
                )
            )
    types = {
        "key": object,
        "split": object,
        "origin": object,
        "shard": object,
        "offset": np.int64,
        "size": np.int32,
        "target": object,
        "draw": np.int64,
        "patient": object,
    }
    columns = {
        name: np.array([row[i] for row in rows], kind)
        for i, (name, kind) in enumerate(types.items())
    }
    unknown = {name: np.full(len(rows), "", object) for name in ("view", "sex", "age")}
    index = Index(labels=np.stack(labels), **columns, **unknown)
    parquet = index_bytes(index, NAMES)
    write_last(root / "manifests/tiny.parquet", parquet)
    train = index.labels[index.split == "train"]
    positives = int((train[:, 1] == 1).sum())
    synthetic = counts.get(("train", "synthetic"), 0)
    manifest = Manifest(
        schema=1,
        name="tiny",
        pathologies=NAMES,
        image=ImageSpec(height=SIDE, width=SIDE, codec=codec, quality=95 if codec == "jpg" else 0),
        recipe={"regime": "10"},
        plan=PlanProof(
            share=(1, 100),
            real=len(train) - synthetic,
            synthetic=synthetic,
            lower_bound=0,
            targets=(
                TargetCount(
                    pathology="Lung Lesion",
                    real_positives=positives,
                    render=synthetic,
                    positives=positives,
                    share=positives / max(1, len(train)),
                ),
            ),
        ),
        generator={"name": "phantom", "sha256": "0" * 64},
        source={"dataset": "demo"},
        software={},
        index=IndexEntry(
            url="manifests/tiny.parquet",
            rows=len(index),
            sha256=hashlib.sha256(parquet).hexdigest(),
        ),
        shardlist=tuple(shards),
    )
    sealed = Sealed(root / "manifests/tiny.json", manifest, index)
    sealed.save()
    return sealed


torch.set_num_threads(1)  # idle threads of OpenMP spin, and starve a small machine's others

FULL = {
    ("train", "real"): 97,
    ("val", "real"): 40,
    ("test", "real"): 44,
    ("train", "synthetic"): 32,
}


@pytest.fixture(scope="session")
def sealer() -> Callable[..., Sealed]:
    """The function that seals a dataset: (root, counts=, codec=) → Sealed."""
    return seal


@pytest.fixture
def sealed(tmp_path: Path) -> Sealed:
    """A fresh dataset that a test may break."""
    return seal(tmp_path / "data", counts=FULL)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A dataset to read only."""
    return seal(tmp_path_factory.mktemp("shared"), counts=FULL)


@pytest.fixture
def data(shared: Sealed) -> Iterator[Dataset]:
    """The read-only dataset, open."""
    index = load_index(shared.manifest, shared.root)
    with open_dataset(shared.manifest, index, source=Folder(shared.root), workers=2) as opened:
        yield opened


@pytest.fixture
def placed() -> Iterator[Callable[..., Place]]:
    """The function that makes a place on this CPU: (out, workers=, save_every=) → Place."""
    with connect("cpu", "fp32") as fabric:

        def make(out: Path, workers: int = 2, save_every: float = 3600) -> Place:
            control = Control(fabric, save_every)
            return Place(out=out, fabric=fabric, control=control, workers=workers)

        yield make


RECIPE = Recipe(
    epochs=3,
    batch=32,
    lr=1e-3,
    optimizer="adam",
    arm="gan",
    augment="flip",
    mix="real=1,synthetic=1",
    steps="equal",
    init="random",
    seed=0,
    precision="fp32",
    accumulate=1,
    compile=False,
)


@pytest.fixture
def recipe() -> Recipe:
    """Three epochs of the gan arm."""
    return RECIPE
