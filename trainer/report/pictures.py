"""Pictures of a dataset for the page: its images (the paper's Figure 2) and CAMs (Figure 5)."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from builder.contract import CheckError, Refusal, UsageError
from builder.contract.weights import read_header
from builder.store import is_url
from trainer.arms import TREATMENTS
from trainer.cam import Cam, Cams, cams_of, sheet
from trainer.predict.classifier import Classifier, load_classifier
from trainer.report.page import Picture
from trainer.report.single_run import Facts
from trainer.stream.batches import open_dataset
from trainer.stream.locate import locate_folder

SIDE_BY_SIDE = 4  # images of each origin
INCHES = 1.2


def pictures(dataset: Facts) -> tuple[list[Picture], list[str]]:
    """The pictures of one dataset of report.json, and why there are none.

    CAMs are of the first seed of the first arm with synthetic images, or of the first arm of the
    dataset's own. The dataset is looked for where that run found it, but not behind a URL: a run's
    folder may be a stranger's, who has no say in what is fetched.
    """
    name, run = dataset["name"], _shown(dataset)
    config = run["config"]
    for place in (config["shards"], config["shards_root"]):
        if place and is_url(place):
            return [], [f"{name}: no pictures of images, for the dataset is at URL: {place}"]
    try:
        found = locate_folder(config["shards"], config["shards_root"])
        if found.manifest.digest != dataset["digest"]:
            raise UsageError(f"{config['shards']} is another dataset now.")
        classifier = _classifier(run, dataset["digest"])
        with open_dataset(
            found.manifest,
            found.index,
            source=found.source,
            workers=1,
            skip_bad=config["skip_bad"],
            prove=False,
        ) as data:
            targets = dataset["targets"] or data.manifest.pathologies[:3]
            model, outputs = classifier.model, classifier.pathologies
            cams = cams_of(data, model, targets, outputs=outputs, images=2 * SIDE_BY_SIDE)
            few = cams_of(data, model, targets, outputs=outputs)
    except (OSError, Refusal) as error:
        return [], [f"{name}: no pictures of images, for the dataset cannot be read: {error}"]
    if not cams.cams:
        return [], [f"{name}: no pictures, for no test image is positive for a target."]
    shape = "×".join(map(str, few.cams[0].map.shape))
    return [
        Picture(
            key="examples",
            dataset=dataset["digest"],
            title="Real and synthetic images of each target",
            note="Drawn by chance, not chosen; real ones are of the test split.",
            png=examples(cams),
        ),
        Picture(
            key="cams",
            dataset=dataset["digest"],
            title="Class activation maps of real and synthetic images",
            note=f"Arm {run['title']}, seed {run['config']['seed']}. The maps have {shape} cells.",
            png=sheet(few),
        ),
    ], []


def _shown(dataset: Facts) -> Facts:
    """The run whose maps are shown, with its config."""
    arms = [arm for arm in dataset["arms"] if not arm["lent_by"]]
    arm: Facts = next((arm for arm in arms if arm["name"] in TREATMENTS), arms[0])
    run: Facts = arm["runs"][0]
    return run | {"title": arm["title"]}


def _classifier(run: Facts, digest: str) -> Classifier:
    """The run's network, once its weights have proved to be those that were tested."""
    weights = Path(run["folder"]) / "best.safetensors"
    classifier = load_classifier(weights, torch.device("cpu"))
    header = read_header(weights)
    if (header.manifest, header.epoch) != (digest, run["best_epoch"]):
        raise CheckError(
            f"{weights} does not hold the weights of epoch {run['best_epoch']} of its run."
        )
    return classifier


def examples(cams: Cams) -> bytes:
    """A PNG: a row per pathology, real images left and synthetic ones right."""
    names = [name for name in cams.pathologies if cams.of(name)]
    width, height = (2 * SIDE_BY_SIDE + 0.3) * INCHES, (len(names) * 1.25 + 0.1) * INCHES
    figure = Figure(figsize=(width, height), dpi=150)
    for row, name in enumerate(names):
        top = 1 - (row * 1.25 + 0.22) * INCHES / height
        for origin, left in (("real", 0.0), ("synthetic", SIDE_BY_SIDE + 0.3)):
            there = [cam for cam in cams.of(name) if cam.origin == origin][:SIDE_BY_SIDE]
            x = left * INCHES / width
            figure.text(x + 0.003, top + 0.03 / height, f"{name}, {origin}", fontsize=9)
            for place, cam in enumerate(there):
                box = (x + place * INCHES / width, top - INCHES / height)
                _draw(figure, (*box, 0.97 * INCHES / width, 0.97 * INCHES / height), cam)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _draw(figure: Any, box: Sequence[float], cam: Cam) -> None:
    axes = figure.add_axes(box)
    axes.imshow(cam.image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()
