"""Pictures of a dataset for the page: images (the paper's Figure 2) and CAMs (Figure 5)."""

import io
from pathlib import Path

import torch
from matplotlib.figure import Figure

from builder.contract import CheckError, Refusal, UsageError, printable
from builder.contract.weights import read_header
from builder.store import is_url
from builder.store.url import without_secrets
from trainer.arms import TREATMENTS
from trainer.cam import Cam, Cams, cams_of, sheet
from trainer.fit.run_folder import RunFolder
from trainer.predict import Classifier, load_classifier
from trainer.recipe import RunConfig
from trainer.report.page import PagePicture
from trainer.report.results import ArmResult, DatasetResult, SeedResult
from trainer.stream.batches import open_dataset
from trainer.stream.locate import Located, locate_folder

IMAGES = 4  # of each origin, in a row
INCHES = 1.2


def pictures(dataset: DatasetResult) -> tuple[list[PagePicture], list[str]]:
    """The pictures of one dataset, and a sentence where there are none.

    CAMs are of the first seed of the first arm with synthetic images; without one, of the dataset's
    first own arm. The dataset is read from where that run read it, but never from a URL: a run's
    folder may be a stranger's, who must not decide what is fetched.
    """
    name, arm = dataset.name, _shown(dataset)
    config = arm.runs[0].config
    for place in (config.shards, config.shards_root):
        if place and is_url(place):
            shown = printable(without_secrets(place))
            why = f"because the dataset is at the URL {shown}, from which a report fetches nothing"
            return [], [f"{name}: no pictures of images, {why}; xtrain cam draws some of them."]
    try:
        found = _found(dataset, config)
    except (OSError, Refusal) as error:
        return [], [f"{name}: no pictures of images, because the dataset cannot be read: {error}"]
    try:
        cams, few = _cams(dataset, arm.runs[0], found)
    except (OSError, Refusal) as error:
        return [], [f"{name}: no pictures of images, because no map of them can be made: {error}"]
    if not cams.cams:
        return [], [f"{name}: no pictures, because no test image is positive for a target."]
    shape = "×".join(map(str, few.cams[0].map.shape))
    return [
        PagePicture(
            key="examples",
            dataset=dataset.digest,
            title="Real and synthetic images of each target",
            note="Drawn at random, not selected; the real images are from the test split.",
            png=examples(cams),
        ),
        PagePicture(
            key="cams",
            dataset=dataset.digest,
            title="Class activation maps of real and synthetic images",
            note=f"Arm {arm.title}, seed {arm.runs[0].seed}. The maps have {shape} cells.",
            png=sheet(few),
        ),
    ], []


def _shown(dataset: DatasetResult) -> ArmResult:
    """The arm whose maps are shown."""
    arms = [arm for arm in dataset.arms if not arm.lent_by]
    return next((arm for arm in arms if arm.name in TREATMENTS), arms[0])


def _found(dataset: DatasetResult, config: RunConfig) -> Located:
    """Where the run read the dataset; UsageError where another one is there now."""
    found = locate_folder(config.shards, config.shards_root)
    if found.manifest.digest != dataset.digest:
        raise UsageError(f"{config.shards} is another dataset now.")
    return found


def _cams(dataset: DatasetResult, run: SeedResult, found: Located) -> tuple[Cams, Cams]:
    """Maps for the images of the page, and fewer for the sheet of maps."""
    classifier = _classifier(run, dataset.digest)
    with open_dataset(found, workers=1, skip_bad=run.config.skip_bad, prove=False) as data:
        targets = dataset.targets or data.manifest.pathologies[:3]
        model, outputs = classifier.model, classifier.pathologies
        return (
            cams_of(data, model, targets, outputs=outputs, images=2 * IMAGES),
            cams_of(data, model, targets, outputs=outputs),
        )


def _classifier(run: SeedResult, digest: str) -> Classifier:
    """The run's network; CheckError where its weights are not those that were tested."""
    weights = RunFolder(Path(run.folder)).weights
    classifier = load_classifier(weights, torch.device("cpu"))
    header = read_header(weights)
    if (header.manifest, header.epoch) != (digest, run.best_epoch):
        raise CheckError(
            f"{weights} does not hold the weights of epoch {run.best_epoch} of its run."
        )
    return classifier


def examples(cams: Cams) -> bytes:
    """A PNG: a row per pathology, real images left, synthetic images right."""
    names = [name for name in cams.pathologies if cams.of(name)]
    width, height = (2 * IMAGES + 0.3) * INCHES, (len(names) * 1.25 + 0.1) * INCHES
    figure = Figure(figsize=(width, height), dpi=150)
    for row, name in enumerate(names):
        top = 1 - (row * 1.25 + 0.22) * INCHES / height
        for origin, left in (("real", 0.0), ("synthetic", IMAGES + 0.3)):
            origins = [cam for cam in cams.of(name) if cam.origin == origin][:IMAGES]
            x = left * INCHES / width
            figure.text(x + 0.003, top + 0.03 / height, f"{name}, {origin}", fontsize=9)
            for place, cam in enumerate(origins):
                box = (x + place * INCHES / width, top - INCHES / height)
                _draw(figure, (*box, 0.97 * INCHES / width, 0.97 * INCHES / height), cam)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _draw(figure: Figure, box: tuple[float, float, float, float], cam: Cam) -> None:
    axes = figure.add_axes(box)
    axes.imshow(cam.image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()
