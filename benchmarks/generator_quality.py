"""How good a generator is, measured against real radiographs that it has not seen.

    python benchmarks/generator_quality.py real64.json --run runs/real64 \\
        --generator gan.safetensors --generator phantom --out quality

`real64.json` seals real images alone; the generator must have been trained on its train split.
Generators of more pixels are reduced to its size. Held-out images are those of split val; test is
not looked at. `runs/real64` is a run of xtrain: its classifier, of any network, gives the features
and the AUC. It sees images as large as the dataset's, whatever size it was trained on. The script
prints a Markdown table and writes three things to --out: the table, the figures as JSON, and a
sheet of the ten nearest pairs for each generator (synthetic above, its nearest training image
below). Those sheets show real images: do not publish them.

- KID: unbiased MMD² with the kernel (xᵀy/d + 1)³ (Bińkowski et al. 2018) over the features that
  the classifier's last layer sees; mean and standard deviation over 50 random subsets. The column
  "real" compares held-out with training images, in subsets of the same size.
- AUC: of the classifier on synthetic images whose labels are drawn from real training rows, for
  pathologies with 50 training positives. The column "real" has held-out images, for pathologies
  with 10 positives there.
- Diversity: mean MS-SSIM of pairs of images with the same label vector; three scales, because 64
  pixels allow no more (weights of Wang et al. 2003, normalised).
- Memorisation: median Euclidean distance of each image to its nearest training image, in pixels and
  in features, and the same for held-out images. p is one-sided, for "synthetic images are nearer"
  (Mann-Whitney). Smooth images are near to everything. So the table also has the share of synthetic
  images that are nearer to a training image than to a held-out one, among equally many of both:
  50 % is no memorisation (after Meehan et al. 2020), ± the deviation over draws of training images.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score
from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

from builder import generators
from builder.audit.features import ClassifierFeatures, classifier_features
from builder.contract import (
    Bytes,
    Index,
    Labels,
    Manifest,
    Sample,
    dataset_root,
    decode_image,
    load_index,
    load_manifest,
)
from builder.plan import philox
from builder.render import render
from builder.render.lanczos import resize_block

COUNT = 1500  # synthetic images
SUBSETS, PAIRS, DRAWS = 50, 400, 20
SUBSET = 500  # images, at most
MIN_TRAIN, MIN_HELD_OUT = 50, 10  # positives for an AUC
SEED = "judge"  # of all draws: the figures in nih64's card have it

Floats = npt.NDArray[np.float64]
Spread = tuple[float, float]  # mean and standard deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """N images and what the classifier makes of them."""

    pixels: Bytes  # uint8 [N, H, W]
    labels: Labels  # int8 [N, L]
    features: Floats  # [N, D]
    probabilities: npt.NDArray[np.float32]  # [N, L]

    @property
    def flat(self) -> Floats:
        """float64 [N, H·W] in [0, 1]."""
        return self.pixels.reshape(len(self.pixels), -1).astype(np.float64) / 255

    @property
    def positives(self) -> npt.NDArray[np.int64]:
        """Positives of each pathology."""
        return (self.labels == 1).sum(axis=0)

    def space(self, name: str) -> Floats:
        """The points of these images among which distances are measured."""
        return self.flat if name == "pixels" else self.features


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """Distances to the nearest training image, in pixels or in features."""

    synthetic: float  # median
    held_out: float  # median
    p: float  # one-sided: synthetic images are nearer
    nearer_to_train: Spread  # share of synthetic images


@dataclass(frozen=True, slots=True, kw_only=True)
class RealQuality:
    """The same figures for real images, as far as they have them."""

    kid: Spread  # held-out against training images
    auc: Mapping[str, float]  # of held-out images
    ms_ssim: float  # of training images


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality(RealQuality):
    """The figures of a generator."""

    pixels: Nearness
    features: Nearness


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every generator is measured with: real images and the classifier."""

    manifest: Manifest
    classifier: ClassifierFeatures
    train: Images
    held_out: Images

    @property
    def subset(self) -> int:
        """Images in a subset of the KID."""
        return min(len(self.held_out.pixels), SUBSET)


# --- figures -------------------------------------------------------------------------------------


def kid(a: Floats, b: Floats, size: int) -> Spread:
    """The unbiased MMD² over random subsets of `size` features of both."""
    values = []
    for number in range(SUBSETS):
        random = np.random.Generator(philox("kid", number))
        x = a[random.choice(len(a), size, replace=False)]
        y = b[random.choice(len(b), size, replace=False)]
        xx, yy, xy = (((p @ q.T) / x.shape[1] + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
        n = size * (size - 1)
        values.append((xx.sum() - xx.trace()) / n + (yy.sum() - yy.trace()) / n - 2 * xy.mean())
    return float(np.mean(values)), float(np.std(values))


def similarity(images: Images) -> float:
    """Mean MS-SSIM of pairs of images with equal label vectors."""
    weights = np.array([0.0448, 0.2856, 0.3001])
    compare = MultiScaleStructuralSimilarityIndexMeasure(
        data_range=255.0, betas=tuple((weights / weights.sum()).tolist())
    )
    _, group = np.unique(images.labels, axis=0, return_inverse=True)
    random = np.random.Generator(philox("pairs"))
    found: list[tuple[int, int]] = []
    for first in random.permutation(len(group)):
        others = np.flatnonzero((group == group[first]) & (np.arange(len(group)) != first))
        if len(others) and len(found) < PAIRS:
            found.append((first, random.choice(others)))
    pairs = torch.from_numpy(images.pixels[np.array(found)]).float()
    return float(compare(pairs[:, :1], pairs[:, 1:]))


def distances(a: Floats, b: Floats) -> Floats:
    """Between each row of `a` and each row of `b`: [N, M]."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def nearer_to_train(to_train: Floats, to_held_out: Floats) -> Spread:
    """The share whose nearest neighbour is a training image, over draws of training images."""
    shares = []
    for number in range(DRAWS):
        random = np.random.Generator(philox("train draw", number))
        drawn = random.choice(to_train.shape[1], to_held_out.shape[1], replace=False)
        shares.append((to_train[:, drawn].min(axis=1) < to_held_out.min(axis=1)).mean())
    return float(np.mean(shares)), float(np.std(shares))


def nearness(synthetic: Floats, train: Floats, held_out: Floats) -> Nearness:
    """All distances in one space."""
    to_train = distances(synthetic, train)
    own, real = to_train.min(axis=1), distances(held_out, train).min(axis=1)
    return Nearness(
        synthetic=float(np.median(own)),
        held_out=float(np.median(real)),
        p=float(mannwhitneyu(own, real, alternative="less").pvalue),
        nearer_to_train=nearer_to_train(to_train, distances(synthetic, held_out)),
    )


def aucs(
    pathologies: tuple[str, ...], images: Images, enough: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """The classifier's AUC of each pathology that has `enough` positives."""
    return {
        pathology: float(roc_auc_score(images.labels[:, i] == 1, images.probabilities[:, i]))
        for i, pathology in enumerate(pathologies)
        if enough[i]
    }


def real_quality(bench: Bench) -> RealQuality:
    """The column "real"."""
    train, held_out = bench.train, bench.held_out
    return RealQuality(
        kid=kid(held_out.features, train.features, bench.subset),
        auc=aucs(bench.manifest.pathologies, held_out, held_out.positives >= MIN_HELD_OUT),
        ms_ssim=similarity(train),
    )


def generator_quality(bench: Bench, images: Images) -> Quality:
    """The column of a generator that made these images."""
    train, held_out = bench.train, bench.held_out
    near = {
        name: nearness(images.space(name), train.space(name), held_out.space(name))
        for name in ("pixels", "features")
    }
    return Quality(
        kid=kid(images.features, train.features, bench.subset),
        auc=aucs(bench.manifest.pathologies, images, train.positives >= MIN_TRAIN),
        ms_ssim=similarity(images),
        **near,
    )


# --- images --------------------------------------------------------------------------------------


def seen(classifier: ClassifierFeatures, pixels: Bytes, labels: Labels) -> Images:
    """Images with the classifier's features and probabilities."""
    features, probabilities = classifier.read(pixels)
    return Images(
        pixels=pixels,
        labels=labels,
        features=features.astype(np.float64),
        probabilities=probabilities,
    )


def sealed_pixels(
    manifest: Manifest, index: Index, root: Path, rows: npt.NDArray[np.int64]
) -> Bytes:
    """The images of these rows of the index."""
    pixels = np.empty((len(rows), manifest.image.height, manifest.image.width), np.uint8)
    for place, row in enumerate(rows):
        with (root / index.shard[row]).open("rb") as file:
            file.seek(int(index.offset[row]))
            pixels[place] = decode_image(file.read(int(index.size[row])), manifest.image)
    return pixels


def load_bench(manifest_path: Path, run: Path) -> Bench:
    """The real images of a sealed dataset and the classifier of a run on it."""
    manifest, root = load_manifest(manifest_path), dataset_root(manifest_path)
    index = load_index(manifest, root)
    classifier = classifier_features(run / "best.safetensors")
    classifier = replace(classifier, image=manifest.image)  # so that nothing is reduced
    if classifier.pathologies != manifest.pathologies:
        raise SystemExit(f"{run} was not trained on the pathologies of {manifest.name}.")
    train, held_out = (
        seen(classifier, sealed_pixels(manifest, index, root, rows), index.labels[rows])
        for rows in (np.flatnonzero(index.split == split) for split in ("train", "val"))
    )
    return Bench(manifest=manifest, classifier=classifier, train=train, held_out=held_out)


def rendered(bench: Bench, name: str) -> Images:
    """COUNT images of a generator, their labels drawn from real training rows."""
    manifest, labels = bench.manifest, bench.train.labels
    words = philox(SEED).random_raw(COUNT)
    rows = labels[(words % np.uint64(len(labels))).astype(np.int64)]
    samples = [
        Sample(
            key=f"{SEED}-{i}",
            split="train",
            origin="synthetic",
            target=SEED,
            draw=i,
            patient="",
            labels=tuple(row),
        )
        for i, row in enumerate(rows.tolist())
    ]
    blocks = render(
        generators.load(name, manifest.image.height),
        samples,
        pathologies=manifest.pathologies,
        image_size=manifest.image.height,
        seed=0,
    )
    own = np.concatenate(list(blocks))
    return seen(bench.classifier, resize_block(own, manifest.image.height), rows)


def nearest_pairs(bench: Bench, images: Images) -> Bytes:
    """uint8 [2·H, 10·W]: the ten images nearest to a training image, and those below."""
    apart = distances(images.flat, bench.train.flat)
    closest = np.argsort(apart.min(axis=1))[:10]
    pairs = np.stack([images.pixels[closest], bench.train.pixels[apart[closest].argmin(axis=1)]])
    side = pairs.shape[-1]
    return pairs.transpose(0, 2, 1, 3).reshape(2 * side, 10 * side)


# --- the table -----------------------------------------------------------------------------------


def table(results: Mapping[str, Quality], real: RealQuality) -> str:
    """Markdown: a row for each figure, a column for each generator and for real images."""
    every = list(results.values())
    rows = [
        ("", *results, "real"),
        ("---", *("---:" for _ in range(len(results) + 1))),
        ("KID × 1000 (± sd of subsets)", *(plus_minus(q.kid) for q in (*every, real))),
        *(auc_row(name, every, real) for name in every[0].auc),
        ("MS-SSIM within a label vector", *(f"{q.ms_ssim:.3f}" for q in (*every, real))),
        *nearness_rows("pixels", [q.pixels for q in every]),
        *nearness_rows("features", [q.features for q in every]),
    ]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines[0], lines[1] = lines[0].replace("|  |", "| |", 1), lines[1].replace(" ", "")
    return "\n".join(lines)


def plus_minus(kid_of: Spread) -> str:
    return " ± ".join(f"{1000 * value:.1f}" for value in kid_of)


def auc_row(name: str, every: list[Quality], real: RealQuality) -> tuple[str, ...]:
    held_out = f"{real.auc[name]:.2f}" if name in real.auc else "too few"
    return (f"AUC {name}", *(f"{quality.auc[name]:.2f}" for quality in every), held_out)


def nearness_rows(space: str, every: list[Nearness]) -> list[tuple[str, ...]]:
    shares = (each.nearer_to_train for each in every)
    return [
        (
            f"nearest train image, {space}",
            *(f"{each.synthetic:.2f} (p {each.p:.2g})" for each in every),
            f"{every[0].held_out:.2f}",
        ),
        (
            f"nearer to train than to held-out, {space}",
            *(f"{100 * mean:.0f} ± {100 * deviation:.0f} %" for mean, deviation in shares),
            "50 %",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--generator", action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(2)
    bench = load_bench(options.manifest, options.run)
    options.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in options.generator:
        images, stem = rendered(bench, name), Path(name).stem
        results[stem] = generator_quality(bench, images)
        sheet = Image.fromarray(nearest_pairs(bench, images))
        sheet.save(options.out / f"{stem}-nearest.png", optimize=True)
    real = real_quality(bench)
    text = table(results, real)
    (options.out / "quality.md").write_text(text + "\n")
    figures = {"real": asdict(real), "generators": {n: asdict(q) for n, q in results.items()}}
    (options.out / "quality.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(text)


if __name__ == "__main__":
    main()
