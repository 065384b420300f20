"""A tiny sealed dataset, written without builder's own writer: only the contract is shared."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image
from torch import nn

from builder.contract import (
    ImageSpec,
    Index,
    IndexEntry,
    Labels,
    Manifest,
    PlanProof,
    ShardEntry,
    TargetCount,
    index_bytes,
    load_index,
    save_manifest,
    sha256_bytes,
    write_last,
)
from builder.contract.weights import WeightsHeader, weights_bytes
from builder.store import Cache
from trainer.config import Machine, Request, RunPlan, Settings, resolve
from trainer.fit.control import Control, Place
from trainer.fit.devices import connect
from trainer.recipe import Recipe
from trainer.stream.batches import Dataset, open_dataset
from trainer.stream.locate import Located
from trainer.stream.shards import Folder

SIDE = 32
NAMES = ("Hernia", "Lung Lesion", "Fracture")  # Hernia: positives in train only
COLUMNS = ("key", "split", "origin", "shard", "offset", "size", "target", "draw", "patient")
KINDS = {"offset": np.int64, "size": np.int32, "draw": np.int64}  # of columns that are not text
FULL = {
    ("train", "real"): 97, ("val", "real"): 40, ("test", "real"): 44, ("train", "synthetic"): 32
}  # fmt: skip
Counts = dict[tuple[str, str], int]  # images by split and origin
TRAINING: dict[str, Any] = {
    "epochs": 2, "batch": 16, "lr": 1e-3, "optimizer": "adam", "augment": "none",
    "mix": "real=1,synthetic=1", "steps": "equal", "init": "random", "seed": 0,
    "precision": "fp32", "accumulate": 1, "compile": False, "sync_batchnorm": False,
    "network": "densenet121", "synthetic_weight": 1.0, "schedule": "constant",
}  # fmt: skip

torch.set_num_threads(1)  # idle threads of OpenMP spin, and starve a small machine's others


@dataclass
class Sealed:
    """A dataset on disk and how to change it."""

    path: Path
    manifest: Manifest
    index: Index

    @property
    def root(self) -> Path:
        return self.path.parent.parent

    def located(self, index: Index | None = None) -> Located:
        """The dataset as `locate` finds it, with another index if given."""
        return Located(manifest=self.manifest, index=index or self.index, source=Folder(self.root))

    def save(self, **changes: Any) -> None:
        """Seal again with other fields."""
        self.manifest = replace(self.manifest, **changes)
        save_manifest(self.manifest, self.path)

    def reseal(self) -> None:
        """Make sizes and sha256 agree with the files as they are now."""
        entries = (shard_entry(self.root, shard) for shard in self.manifest.shardlist)
        self.save(shardlist=tuple(entries))

    def spoil_image(self, row: int) -> None:
        """Write over the image of a row of the index, and seal again."""
        with (self.root / self.index.shard[row]).open("r+b") as tar:
            tar.seek(int(self.index.offset[row]))
            tar.write(b"not an image at all")
        self.reseal()


def shard_entry(root: Path, shard: ShardEntry) -> ShardEntry:
    """The entry with size and sha256 of the file as it is."""
    data = (root / shard.url).read_bytes()
    return replace(shard, filesize=len(data), sha256=sha256_bytes(data))


def draw_labels(rng: np.random.Generator, split: str) -> Labels:
    labels = (rng.random(3) < (0.3, 0.4, 0.4)).astype(np.int8)
    labels[rng.random(3) < 0.08] = -1
    if split != "train":
        labels[0] = min(labels[0], 0)
    return labels


def picture(labels: Labels, rng: np.random.Generator) -> np.ndarray:
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


class Sealer:
    """The shards of a dataset, written one after the other."""

    def __init__(self, root: Path, counts: Counts, codec: str) -> None:
        self.root, self.counts, self.codec = root, counts, codec
        self.rng = np.random.default_rng(1)
        self.rows: list[tuple[object, ...]] = []
        self.labels: list[Labels] = []

    def write(self, split: str, origin: str, part: int) -> ShardEntry:
        """Write every second image of a split and origin."""
        url = f"shards/{origin}/{split}-{part:05d}-of-00002.tar"
        numbers, tar = range(part, self.counts[split, origin], 2), io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for i in numbers:
                self._add(archive, split, origin, url, i)
        write_last(self.root / url, tar.getvalue())
        entry = ShardEntry(
            url=url, nsamples=len(numbers), filesize=0, sha256="", split=split, origin=origin
        )
        return shard_entry(self.root, entry)

    def _add(self, archive: tarfile.TarFile, split: str, origin: str, url: str, i: int) -> None:
        labels, key = draw_labels(self.rng, split), f"{origin}-{split}-{i:04d}"
        target, draw, patient = "", -1, f"p{split}{i // 3}"
        if origin == "synthetic":  # its labels are those of a real image
            labels = self.labels[int(self.rng.integers(self.counts["train", "real"]))]
            target, draw, patient = "Lung Lesion", i, ""
        image = encode(picture(labels, self.rng), self.codec)
        note = json.dumps({"key": key, "labels": labels.tolist()}).encode()
        offset = archive.offset + 512
        for name, data in ((f"{key}.{self.codec}", image), (f"{key}.json", note)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        self.rows.append((key, split, origin, url, offset, len(image), target, draw, patient))
        self.labels.append(labels)

    def index(self) -> Index:
        columns = {
            name: np.array([row[i] for row in self.rows], KINDS.get(name, object))
            for i, name in enumerate(COLUMNS)
        }
        unknown = {name: np.full(len(self.rows), "", object) for name in ("view", "sex", "age")}
        unknown["sketch"] = np.empty((len(self.rows), 0), np.uint8)
        return Index(labels=np.stack(self.labels), **columns, **unknown)


def plan_proof(index: Index) -> PlanProof:
    train, synthetic = index.split == "train", int((index.origin == "synthetic").sum())
    total, positives = int(train.sum()), int((index.labels[train, 1] == 1).sum())
    lesion = TargetCount(
        pathology="Lung Lesion", real_positives=positives, render=synthetic, positives=positives,
        share=positives / max(1, total),
    )  # fmt: skip
    return PlanProof(
        share=(1, 100), real=total - synthetic, synthetic=synthetic, lower_bound=0,
        targets=(lesion,),
    )  # fmt: skip


def seal(root: Path, *, counts: Counts, codec: str = "jpg") -> Sealed:
    sealer = Sealer(root, counts, codec)
    shards = tuple(
        sealer.write(split, origin, part) for split, origin in counts for part in range(2)
    )
    index = sealer.index()
    parquet, url = index_bytes(index, NAMES), "manifests/tiny.parquet"
    write_last(root / url, parquet)
    trained = "train" in index.split  # no plan is one of no image
    manifest = Manifest(
        schema=1 if trained else 2,
        name="tiny",
        pathologies=NAMES,
        image=ImageSpec(height=SIDE, width=SIDE, codec=codec, quality=95 if codec == "jpg" else 0),
        recipe={"regime": "10"},
        plan=plan_proof(index) if trained else None,
        generator={"name": "phantom", "sha256": "0" * 64} if trained else None,
        source={"dataset": "demo"},
        software={},
        index=IndexEntry(url=url, rows=len(index), sha256=sha256_bytes(parquet)),
        shardlist=shards,
    )
    sealed = Sealed(root / "manifests/tiny.json", manifest, index)
    sealed.save()
    return sealed


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
    with open_dataset(shared.located(index), workers=2) as opened:
        yield opened


@pytest.fixture
def placed() -> Iterator[Callable[..., Place]]:
    """The function that makes a place on this CPU: (out, workers=, save_every=) → Place."""
    with connect("cpu", "fp32") as fabric:

        def make(out: Path, workers: int = 2, save_every: float = 3600) -> Place:
            control = Control(fabric, save_every)
            return Place(out=out, fabric=fabric, control=control, workers=workers)

        yield make


@pytest.fixture
def recipe() -> Recipe:
    """Three epochs of the gan arm."""
    return Recipe(arm="gan", **TRAINING | {"epochs": 3, "batch": 32, "augment": "flip"})


@pytest.fixture(scope="session")
def plan_of(request_of: Callable[..., Request]) -> Callable[..., tuple[RunPlan, Located]]:
    """The function that plans two epochs of the gan arm: (sealed, out, field=value …)."""

    def plan(*asked: Any, **changes: Any) -> tuple[RunPlan, Located]:
        request = request_of(*asked, **changes)
        found = request.locate()
        return resolve(request, found.manifest), found

    return plan


@pytest.fixture(scope="session")
def request_of() -> Callable[..., Request]:
    """The function that asks for two epochs of the gan arm: (sealed, out, field=value …)."""

    def ask(sealed: Sealed, out: Path | None, **changes: Any) -> Request:
        cache = Cache(folder=sealed.root / "cache", max_bytes=10**9)
        where: dict[str, Any] = {"device": "cpu", "workers": 2, "ram_bytes": 0, "cache": cache}
        machine = Machine(**where, save_every=3600.0, track=())
        asked = {"shards": str(sealed.path), "shards_root": None, "arm": "gan", "resume": False}
        rest = TRAINING | {"skip_bad": False, "min_positives": 10, "machine": machine}
        for fields in (asked, rest):
            fields |= {name: changes.pop(name) for name in [*changes] if name in fields}
        assert not changes
        return Request(out=out, settings=Settings(**rest), **asked)

    return ask


@pytest.fixture(scope="session")
def save_weights() -> Callable[..., Path]:
    """Writes a best.safetensors: (path, network, names, height=, width=, manifest=, epoch=)."""

    def save(path: Path, network: nn.Module, names: Sequence[str], **told: Any) -> Path:
        known = {"height": SIDE, "width": SIDE, "manifest": "0" * 64, "epoch": 1} | told
        size = {name: known.pop(name) for name in ("height", "width")}
        image = ImageSpec(codec="png", quality=0, **size)
        header = WeightsHeader(pathologies=tuple(names), image=image, **known)
        path.write_bytes(weights_bytes(network, header))
        return path

    return save
