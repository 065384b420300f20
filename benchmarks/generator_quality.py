"""How good is a generator? Measured against real radiographs that it has not seen.

    python benchmarks/judge_generator.py real64.json --run runs/real64 \\
        --generator gan.safetensors --generator phantom --out docs/judged

`real64.json` seals real images alone; the generator must have been trained on its train split.
`runs/real64` is an xtrain run on it: the classifier whose features and AUC are used. Prints a
Markdown table, and writes it, the figures as JSON and sheets of the ten nearest pairs to --out
(synthetic above, its nearest train image below: real images, so not to be published).

- KID: unbiased MMD² with the kernel (xᵀy/d + 1)³ (Bińkowski et al. 2018) over pooled DenseNet-121
  features; mean and standard deviation over 50 random subsets. The floor is held-out reals against
  train reals, with subsets of the same size.
- AUC: the classifier's, on synthetic images whose labels are drawn from real train rows, of the
  pathologies with 50 train positives; beside it on held-out reals with 10 positives.
- Diversity: mean MS-SSIM of pairs of images with the same label vector; three scales, since 64
  pixels hold no more (weights of Wang et al. 2003, normalised).
- Memorisation: median Euclidean distance of each image to its nearest train image, in pixels and in
  features, beside that of held-out reals; p is one-sided, for "synthetic images are nearer"
  (Mann-Whitney). Smooth images are near to everything, so also the share of synthetic images whose
  nearest neighbour among the held-out and as many random train images is a train image: 50 % is no
  memorisation (after Meehan et al. 2020), ± the deviation over draws of the train images.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score
from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

from builder import generators
from builder.contract import Sample, dataset_root, decode_image, load_index, load_manifest
from builder.contract.weights import scale
from builder.plan import philox
from builder.render import render
from trainer.model import build, load_weights

COUNT = 1500
SUBSETS, PAIRS, DRAWS = 50, 400, 20


def real_images(manifest, index, root, rows):
    images = np.empty((len(rows), manifest.image.height, manifest.image.width), np.uint8)
    for place, row in enumerate(rows):
        with (root / index.shard[row]).open("rb") as file:
            file.seek(int(index.offset[row]))
            images[place] = decode_image(file.read(int(index.size[row])), manifest.image)
    return images


@torch.inference_mode()
def look(model, images):
    """(features [N, 1024], probabilities [N, L])."""
    features, probabilities = [], []
    for start in range(0, len(images), 64):
        x = scale(torch.from_numpy(images[start : start + 64][:, None]))
        maps = torch.relu(model.features(x))
        features.append(maps.mean(dim=(2, 3)))
        probabilities.append(torch.sigmoid(model.classifier(features[-1])))
    return torch.cat(features).double().numpy(), torch.cat(probabilities).numpy()


def kid(a, b, size):
    """Mean and standard deviation of the unbiased MMD² over subsets of `size` of both."""
    values = []
    for number in range(SUBSETS):
        random = np.random.Generator(philox("kid", number))
        x = a[random.choice(len(a), size, replace=False)]
        y = b[random.choice(len(b), size, replace=False)]
        xx, yy, xy = (((p @ q.T) / x.shape[1] + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
        n = size * (size - 1)
        values.append((xx.sum() - xx.trace()) / n + (yy.sum() - yy.trace()) / n - 2 * xy.mean())
    return float(np.mean(values)), float(np.std(values))


def similarity(images, labels):
    """Mean MS-SSIM of pairs with equal label vectors."""
    weights = np.array([0.0448, 0.2856, 0.3001])
    compare = MultiScaleStructuralSimilarityIndexMeasure(
        data_range=255.0, betas=tuple((weights / weights.sum()).tolist())
    )
    _, group = np.unique(labels, axis=0, return_inverse=True)
    random = np.random.Generator(philox("pairs"))
    found = []
    for first in random.permutation(len(images)):
        others = np.flatnonzero((group == group[first]) & (np.arange(len(images)) != first))
        if len(others) and len(found) < PAIRS:
            found.append((first, random.choice(others)))
    pairs = torch.from_numpy(images[np.array(found)]).float()
    return float(compare(pairs[:, :1], pairs[:, 1:]))


def nearest(a, b):
    """Distance and place in `b` of each row's nearest neighbour."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    place = squares.argmin(axis=1)
    return np.sqrt(np.maximum(squares[np.arange(len(a)), place], 0)), place


def nearer_to_train(synthetic, train, held):
    """Mean and deviation over draws of the share whose nearest neighbour is a train image."""
    to_held, _ = nearest(synthetic, held)
    shares = []
    for number in range(DRAWS):
        random = np.random.Generator(philox("train draw", number))
        to_train, _ = nearest(synthetic, train[random.choice(len(train), len(held), replace=False)])
        shares.append((to_train < to_held).mean())
    return float(np.mean(shares)), float(np.std(shares))


def pixels(images):
    return images.reshape(len(images), -1).astype(np.float64) / 255


def drawn(name, manifest, labels):
    """(images, labels) of a generator, labels drawn from real train rows."""
    words = philox("judge").random_raw(COUNT)
    rows = labels[(words % np.uint64(len(labels))).astype(np.int64)]
    samples = [
        Sample(
            key=f"judge-{i}",
            split="train",
            origin="synthetic",
            target="judge",
            draw=i,
            patient="",
            labels=tuple(row),
        )
        for i, row in enumerate(rows.tolist())
    ]
    images = render(
        generators.load(name, manifest.image.height),
        samples,
        pathologies=manifest.pathologies,
        image_size=manifest.image.height,
        seed=0,
    )
    return np.stack(list(images)), rows


def positives(labels):
    return (labels == 1).sum(axis=0)


def aucs(manifest, labels, probabilities, which):
    return {
        pathology: float(roc_auc_score(labels[:, i] == 1, probabilities[:, i]))
        for i, pathology in enumerate(manifest.pathologies)
        if which[i]
    }


def judge(name, manifest, model, train, held):
    images, labels = drawn(name, manifest, train["labels"])
    features, probabilities = look(model, images)
    size = min(len(held["features"]), 150)
    trained = positives(train["labels"]) >= 50
    result = {"kid": kid(features, train["features"], size)}
    result["auc"] = aucs(manifest, labels, probabilities, trained)
    result["ms_ssim"] = similarity(images, labels)
    for space, own, theirs, other in (
        ("pixels", pixels(images), train["pixels"], held["pixels"]),
        ("features", features, train["features"], held["features"]),
    ):
        mine, place = nearest(own, theirs)
        real, _ = nearest(other, theirs)
        p = mannwhitneyu(mine, real, alternative="less").pvalue
        result[space] = {
            "synthetic": float(np.median(mine)),
            "held_out": float(np.median(real)),
            "p": float(p),
            "nearer_to_train": nearer_to_train(own, theirs, other),
        }
        if space == "pixels":
            closest = np.argsort(mine)[:10]
            pairs = np.concatenate([images[closest], train["images"][place[closest]]])
    return result, pairs


def table(results, real):
    lines = ["| | " + " | ".join(results) + " | real |", "|---|" + "---:|" * (len(results) + 1)]
    floor = real["kid"]

    def row(title, cells, last=""):
        lines.append(f"| {title} | {' | '.join(cells)} | {last} |")

    every = results.values()
    row(
        "KID × 1000 (± sd of subsets)",
        [f"{1000 * r['kid'][0]:.1f} ± {1000 * r['kid'][1]:.1f}" for r in every],
        f"{1000 * floor[0]:.1f} ± {1000 * floor[1]:.1f}",
    )
    for name in next(iter(every))["auc"]:
        seen = f"{real['auc'][name]:.2f}" if name in real["auc"] else "too few"
        row(f"AUC {name}", [f"{r['auc'][name]:.2f}" for r in every], seen)
    similar = f"{real['ms_ssim']:.3f}"
    row("MS-SSIM within a label vector", [f"{r['ms_ssim']:.3f}" for r in every], similar)
    for space in ("pixels", "features"):
        cells = [f"{r[space]['synthetic']:.2f} (p {r[space]['p']:.2g})" for r in every]
        row(f"nearest train image, {space}", cells, f"{next(iter(every))[space]['held_out']:.2f}")
        shares = [r[space]["nearer_to_train"] for r in every]
        cells = [f"{100 * mean:.0f} ± {100 * deviation:.0f} %" for mean, deviation in shares]
        row(f"nearer to train than to held-out, {space}", cells, "50 %")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--generator", action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(2)
    manifest, root = load_manifest(options.manifest), dataset_root(options.manifest)
    index = load_index(manifest, root)
    model = build(manifest.pathologies, init="random", seed=0)
    model.load_state_dict(load_weights(options.run / "best.safetensors")[0])
    model.eval()
    sets = []
    for inside in (index.split == "train", index.split != "train"):
        rows = np.flatnonzero(inside)
        images = real_images(manifest, index, root, rows)
        facts = {"images": images, "labels": index.labels[rows], "pixels": pixels(images)}
        facts["features"], facts["probabilities"] = look(model, images)
        sets.append(facts)
    train, held = sets
    enough = positives(held["labels"]) >= 10
    real = {
        "kid": kid(held["features"], train["features"], min(len(held["features"]), 150)),
        "auc": aucs(manifest, held["labels"], held["probabilities"], enough),
        "ms_ssim": similarity(train["images"], train["labels"]),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in options.generator:
        stem = Path(name).stem
        results[stem], pairs = judge(name, manifest, model, train, held)
        side = pairs.shape[-1]
        sheet = pairs.reshape(2, 10, side, side).transpose(0, 2, 1, 3).reshape(2 * side, 10 * side)
        Image.fromarray(sheet).save(options.out / f"{stem}-nearest.png", optimize=True)
    text = table(results, real)
    (options.out / "judged.md").write_text(text + "\n")
    figures = {"real": real, "generators": results}
    (options.out / "judged.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(text)


if __name__ == "__main__":
    main()
