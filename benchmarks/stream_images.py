"""The images that `stream.py` gives to all loaders: in sealed datasets and as loose files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from stream_peers import BITS, Work, spelled

from builder.contract import ImageSpec, PlanProof, Sample, TargetCount, load_index, load_manifest
from builder.draw import latents
from builder.generators import load
from builder.recipe import Layout
from builder.render import Picture
from builder.seal import Facts, seal
from builder.write import ShardJob, write_shard
from builder.write.encode import encode

SIDE = 224
CHEXPERT = (390, 320)  # width and height of CheXpert-small's files
SHARDS = 8  # of each dataset; two origins and two workers get equally many


def originals(folder: Path) -> list[np.ndarray]:
    """uint8 [H, W] each: real radiographs, or phantoms where there are none."""
    if files := sorted(folder.glob("*.jpg")):
        return [np.asarray(Image.open(file).convert("L")) for file in files]
    phantom, number = load("phantom", SIDE), 256
    anatomy = latents(range(number), phantom.latent_size, seed=0, name="bench")
    return list(phantom(anatomy, np.zeros((number, len(phantom.labels)), np.float32)))


@dataclass(frozen=True, slots=True)
class Images:
    """Image number i, for any i: the originals in turn, each round shifted further."""

    of: list[np.ndarray]

    def __call__(self, number: int) -> np.ndarray:
        image = self.of[number % len(self.of)]
        return np.ascontiguousarray(np.roll(image, 7 * (number // len(self.of)), axis=1))


@dataclass(frozen=True, slots=True)
class ImagePainter:
    """The image whose number is in a sample's key."""

    images: Images
    redraws: None = None

    def produce(self, samples: Iterable[Sample]) -> Iterator[Picture]:
        for sample in samples:
            number = int(sample.key.removeprefix("bench-"))
            yield Picture(sample=sample, pixels=self.images(number))


def sample(number: int, origin: str) -> Sample:
    """The sample whose labels spell its number."""
    real = origin == "real"
    return Sample(
        key=f"bench-{number:07d}",
        split="train",
        origin=origin,
        target="" if real else BITS[0],
        draw=-1 if real else number,
        patient=f"{number:016x}" if real else "",
        labels=tuple(map(int, spelled(number))),
    )


def sealed(root: Path, images: Images, work: Work, codec: str, synthetic: int) -> None:
    """A dataset by the builder's own writer; `synthetic` of its SHARDS shards are synthetic."""
    spec = ImageSpec(height=SIDE, width=SIDE, codec=codec, quality=95 if codec == "jpg" else 0)
    layout = Layout(root=root, pathologies=BITS, image=spec)
    size = work.count // SHARDS

    def job(shard: int) -> ShardJob:
        origin = "real" if shard < SHARDS - synthetic else "synthetic"
        numbers = range(shard * size, (shard + 1) * size)
        return ShardJob(
            layout=layout,
            url=f"shards/{origin}/train-{shard:05d}-of-{SHARDS:05d}.tar",
            samples=tuple(sample(number, origin) for number in numbers),
            painter=ImagePainter(images),
        )

    shards = [write_shard(job(shard)) for shard in range(SHARDS)]
    plan = proof(real=(SHARDS - synthetic) * size, synthetic=synthetic * size)
    facts = Facts(recipe={}, generator={"name": "bench"}, source={}, software={})
    seal(shards, layout=layout, name="bench", plan=plan, facts=facts)


def proof(*, real: int, synthetic: int) -> PlanProof:
    """A plan whose target is the lowest bit, which half of the numbers have."""
    half = (real + synthetic) // 2
    target = TargetCount(
        pathology=BITS[0], real_positives=real // 2, render=synthetic, positives=half, share=0.5
    )
    return PlanProof(
        share=(1, 100), real=real, synthetic=synthetic, lower_bound=0, targets=(target,)
    )


def loosened(images: Images, work: Work) -> None:
    """The images as loose files: the sealed members, and the same at CheXpert-small's size."""
    spec = ImageSpec(height=CHEXPERT[1], width=CHEXPERT[0], codec=work.codec, quality=95)
    for number, member in enumerate(members(Path(work.folder, "one"))):
        large = Image.fromarray(images(number)).resize(CHEXPERT, Image.Resampling.LANCZOS)
        for size, data in (("224", member), ("chexpert", encode(np.asarray(large), spec))):
            path = work.image(size, number)
            path.parent.mkdir(parents=True)
            path.write_bytes(data)
    for size in ("224", "chexpert"):
        Path(work.folder, "loose", size, "train.csv").write_text("\n".join(table(work)))


def table(work: Work) -> Iterator[str]:
    """The lines of a table with CheXpert's columns, for torchxrayvision."""
    yield "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Cardiomegaly,Edema,Fracture"
    for number in range(work.count):
        path = work.image("224", number).relative_to(Path(work.folder, "loose/224"))
        yield f"CheXpert-v1.0-small/{path},Female,50,Frontal,PA,0,{number % 2},0,1"


def prepare(work: Work, folder: Path) -> None:
    """Fill the folder of `work` with everything that is read."""
    images, root = Images(originals(folder)), Path(work.folder)
    for name, codec, synthetic in (
        ("one", work.codec, 0),
        ("two", work.codec, SHARDS // 2),
        ("png", "png", 0),
    ):
        sealed(root / name, images, work, codec, synthetic)
    loosened(images, work)


def members(root: Path) -> Iterator[bytes]:
    """The image members of a sealed dataset, in sealed order."""
    index = load_index(load_manifest(root / "manifests/bench.json"), root)
    for shard in dict.fromkeys(index.shard):
        tar, rows = (root / shard).read_bytes(), index.shard == shard
        for offset, size in zip(index.offset[rows], index.size[rows], strict=True):
            yield tar[offset : offset + size]
