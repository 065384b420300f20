"""The AUC that a linear model reaches on a sealed dataset: what a network must beat.

    python benchmarks/linear_baseline.py manifests/gan100.json           # on val
    python benchmarks/linear_baseline.py manifests/gan100.json --test    # on test, too

The real training images are reduced to 32 pixels by a box mean. Their first 128 principal
components go into one logistic regression for each pathology.
"""

import argparse
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from builder.contract import Labels
from trainer.fit.score import auc
from trainer.stream.batches import Dataset, batches, open_dataset
from trainer.stream.locate import locate_folder
from trainer.stream.order import Rows

SIDE = 32  # pixels
COMPONENTS = 128

Pixels = npt.NDArray[np.float32]


def reduced(data: Dataset, rows: Rows) -> Pixels:
    """float32 [N, 1024] in [0, 1]: images of 32 pixels, each the mean of a box."""
    image = data.manifest.image
    if image.height % SIDE or image.width % SIDE:
        raise SystemExit(f"Images of {image.height}×{image.width} pixels have no boxes of {SIDE}.")
    parts = []
    with closing(batches(data, rows, size=256, workers=1, what=None)) as stream:
        for batch in stream:
            pixels = batch.images.numpy()[:, 0].astype(np.float32) / 255
            shape = (len(pixels), SIDE, image.height // SIDE, SIDE, image.width // SIDE)
            parts.append(pixels.reshape(shape).mean(axis=(2, 4)).reshape(len(pixels), -1))
    return np.concatenate(parts)


def baselines(data: Dataset, splits: tuple[str, ...]) -> dict[str, list[float | None]]:
    """The AUC of each pathology on each split, None where a class is missing there or in train."""
    rows = data.rows("train", "real")
    images, labels = reduced(data, rows), data.index.labels[rows]
    pca = PCA(min(COMPONENTS, *images.shape), svd_solver="full").fit(images)
    train = pca.transform(images)
    found: dict[str, list[float | None]] = {}
    for split in splits:
        held = data.rows(split)
        features = pca.transform(reduced(data, held))
        known = data.index.labels[held]
        found[split] = [
            _auc(train, labels[:, i], features, known[:, i]) for i in range(labels.shape[1])
        ]
    return found


def _auc(train: Pixels, labels: Labels, features: Pixels, known: Labels) -> float | None:
    rows = labels >= 0
    if len(np.unique(labels[rows])) < 2:
        return None
    model = LogisticRegression(max_iter=2000).fit(train[rows], labels[rows])
    return auc(known, model.decision_function(features))


def main() -> None:
    """Print a row for each pathology."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--test", action="store_true", help="on the test images, too")
    asked = parser.parse_args()
    splits = ("val", "test") if asked.test else ("val",)
    with open_dataset(locate_folder(str(asked.manifest), None), workers=1, prove=False) as data:
        found = baselines(data, splits)
        print(f"{'pathology':20}" + "".join(f"{split:>16}" for split in splits))
        for i, name in enumerate(data.manifest.pathologies):
            cells = []
            for split in splits:
                value = found[split][i]
                positives = int((data.index.labels[data.rows(split), i] == 1).sum())
                cells.append(f"{'–' if value is None else f'{value:.3f}'} ({positives:,} +)")
            print(f"{name:20}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
