"""What a reader must know before the numbers of a report."""

from collections.abc import Iterator

from trainer.report.comparison_report import ReportSettings
from trainer.report.conclusions import plain_of, treated
from trainer.report.results import DatasetResult
from trainer.report.run_report import shown_as
from trainer.report.studies import OF_AN_ARM

CHANCE = 0.5  # AUC of a classifier that guesses


def notes(dataset: DatasetResult, settings: ReportSettings) -> Iterator[str]:
    """Sentences on one dataset, each with its name."""
    for sentences in (_images, _counts, _chance, _seeds, _controls, _training, _elsewhere):
        for sentence in sentences(dataset, settings):
            yield f"{dataset.name}: {sentence}."


def _images(dataset: DatasetResult, _: ReportSettings) -> Iterator[str]:
    if dataset.label_table == "demo":
        yield "all images are procedural phantoms, not radiographs"
    elif dataset.generator_name == "phantom":
        yield "the synthetic images are procedural phantoms, not radiographs"
    if mapped := shown_as(dataset.generator):
        yield f"the generator shows {mapped}, a label that it knows (--label-map)"


def _counts(dataset: DatasetResult, settings: ReportSettings) -> Iterator[str]:
    least, few = settings.min_positives, settings.few
    positives = {name: count.positives for name, count in dataset.positives.items()}
    if none := [f"{n} ({c})" for n, c in positives.items() if c < least]:
        yield f"no figure below {least} positive test images: {', '.join(none)}"
    if weak := [f"{n} ({c})" for n, c in positives.items() if least <= c < few]:
        yield f"fewer than {few} positive test images, read with care: {', '.join(weak)}"


def _chance(dataset: DatasetResult, _: ReportSettings) -> Iterator[str]:
    """The targets that nobody has learned: "no evidence" then says nothing of the images."""
    unlearned = []
    for target in dataset.targets:
        found = [arm.pathologies[target].auc for arm in dataset.arms]
        known = [auc for auc in found if auc is not None and auc.low is not None]
        if known and all(auc.low is not None and auc.low <= CHANCE for auc in known):
            values = [auc.value for auc in known]
            unlearned.append(f"{target} (AUC {min(values):.2f} to {max(values):.2f})")
    if unlearned:
        yield (
            f"no arm finds {', '.join(unlearned)} clearly better than chance, so the verdict"
            " there says nothing about the synthetic images: train longer, or check images and"
            " labels"
        )


def _seeds(dataset: DatasetResult, _: ReportSettings) -> Iterator[str]:
    if any(len(arm.runs) == 1 for arm in dataset.arms):
        yield (
            "an arm with one seed says nothing about other seeds; its interval covers patients"
            " alone"
        )
    if two := [arm.title for arm in dataset.arms if len(arm.runs) == 2]:
        yield (
            f"two seeds ({'; '.join(two)}) do not show how much seeds differ. Where an arm has two,"
            " the logits of all arms' seeds are assumed to vary alike; where they do not, an"
            " interval may be far too narrow"
        )


def _controls(dataset: DatasetResult, _: ReportSettings) -> Iterator[str]:
    for arm in treated(dataset):
        compared = any(row.arm == arm.title for row in dataset.comparisons)
        if compared and not plain_of(dataset, arm):
            yield (
                f"no arm with the real images alone was trained as {arm.title} was, so {arm.title}"
                " cannot be said to have helped"
            )
    for lender in dict.fromkeys(arm.lent_by for arm in dataset.arms if arm.lent_by):
        lent = ", ".join(arm.title for arm in dataset.arms if arm.lent_by == lender)
        yield f"{lent} were trained on {lender}, which does not differ in what they show"


def _training(dataset: DatasetResult, _: ReportSettings) -> Iterator[str]:
    if dataset.common:
        common = {*dataset.common}
        others = [arm.title for arm in dataset.arms if not common <= {*arm.modifiers}]
        but = f" but {', '.join(others)}" if others else ""
        yield f"every arm{but} was trained with {', '.join(dataset.common)}"
    yield from _recipes(dataset)
    runs = [run for arm in dataset.arms for run in arm.runs]
    if len(counts := {run.config.ranks for run in runs}) > 1:
        said = " and ".join(map(str, sorted(counts)))
        yield f"some runs were trained by {said} processes, which changes weights a little"
    if unread := max(run.unread for run in runs):
        yield f"up to {unread:,} val and test images of a run could not be read"
    if any(run.val_auc_mean is None for run in runs):
        yield "a run has no AUC on val, so the lowest loss there chose its epoch"
    if len({arm.steps for arm in dataset.arms}) > 1:
        steps = ", ".join(f"{arm.title} {arm.steps:,}" for arm in dataset.arms)
        yield f"the arms took different numbers of steps ({steps})"


def _elsewhere(dataset: DatasetResult, _: ReportSettings) -> Iterator[str]:
    for name in dataset.unscored:
        yield f"no arm has all its seeds scored on {name}, so nothing is said about it"
    for test in dataset.external:
        if test.unread:
            yield f"up to {test.unread:,} test images of {test.name} could not be read"
        if test.left_out:
            yield f"{test.name} does not label {', '.join(test.left_out)}: left out there"
        if test.without:
            yield f"not every run of {'; '.join(test.without)} was scored on {test.name}: left out"


def _recipes(dataset: DatasetResult) -> Iterator[str]:
    """What the arms differ in that their names do not say: a difference may be due to that."""
    for name in dataset.arms[0].recipe:
        values = {arm.title: arm.recipe.get(name) for arm in dataset.arms}
        if name not in OF_AN_ARM and len({*map(str, values.values())}) > 1:
            said = ", ".join(f"{title} {value}" for title, value in values.items())
            yield f"the arms were trained with different {name} ({said})"
