"""Runs → studies: the arms and seeds that were tested on the same images of a dataset."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from builder.contract import GROUPS, CheckError, UsageError
from trainer.arms import TREATMENTS
from trainer.recipe import ARMS, ArmName
from trainer.report.load import RunResult
from trainer.report.run_report import RunReport

OF_AN_ARM = ("arm", "augment", "mix", "steps", "network", "synthetic_weight")
PLAIN: tuple[ArmName, ...] = ("none", "flip", "radiograph")  # arms with all real images, each once
AUGMENTED: tuple[ArmName, ...] = ("flip", "radiograph")  # arms that are an augmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRuns:
    """The seeds of one arm."""

    title: str
    runs: tuple[RunResult, ...]  # by seed
    lent_by: str | None = None  # the dataset that they trained on, where it is another one

    @property
    def name(self) -> ArmName:
        """What it shows the network."""
        return self.runs[0].report.arm

    @property
    def modifiers(self) -> tuple[str, ...]:
        """What is unusual about its training, such as `flip`."""
        return self.runs[0].modifiers

    def is_plain_for(self, arm: "ArmRuns") -> bool:
        """Whether it is the control of `arm` with the real images alone, trained the same way."""
        return self.name in PLAIN and self.modifiers == unweighted(arm.modifiers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The arms that were tested on a dataset."""

    name: str  # no other study has it
    report: RunReport  # of one of its runs
    arms: tuple[ArmRuns, ...]
    common: tuple[str, ...]  # modifiers of every arm, which no title names


def unweighted(modifiers: Sequence[str]) -> tuple[str, ...]:
    """Those that an arm of real images alone can have, too: all but the weight of the others."""
    return tuple(word for word in modifiers if not word.startswith("synthetic weight"))


def studies(runs: Sequence[RunResult]) -> tuple[Study, ...]:
    """A study for each dataset, by regime and name; arms in the order of recipe.ARMS.

    A control serves another dataset, too, if the two do not differ in what it shows and the other
    has no such run of its own. UsageError where the runs of an arm differ in more than their
    seed, CheckError where the runs of a dataset were not tested on the same images.
    """
    common = _common(runs)
    by_dataset: dict[str, list[RunResult]] = {}
    for run in runs:
        by_dataset.setdefault(run.report.manifest.digest, []).append(run)
    arms = {digest: _arms(group, common) for digest, group in by_dataset.items()}
    names = _names({digest: group[0] for digest, group in by_dataset.items()})
    found = []
    for digest, own in arms.items():
        report = own[0].runs[0].report
        titles = {arm.title for arm in own}
        lent = [
            replace(arm, lent_by=names[elsewhere])
            for elsewhere, other in arms.items()
            for arm in other
            if elsewhere != digest and _serves(arm.runs[0].report, report)
        ]
        for arm in lent:
            if arm.title not in titles:
                titles.add(arm.title)
                own = [*own, arm]
        ordered = sorted(own, key=lambda arm: (ARMS.index(arm.name), arm.title))
        study = Study(name=names[digest], report=report, arms=tuple(ordered), common=common)
        check_same_test(study)
        found.append(replace(study, arms=_with_groups(study.arms)))
    return tuple(sorted(found, key=lambda study: _place(study.report)))


def _common(runs: Sequence[RunResult]) -> tuple[str, ...]:
    """The modifiers of all runs; an arm that is an augmentation has its own in place of theirs."""
    free = [run for run in runs if run.report.arm not in AUGMENTED] or runs
    return tuple(
        word
        for word in free[0].modifiers
        if all(word in run.modifiers for run in (free if word in AUGMENTED else runs))
    )


def _serves(control: RunReport, report: RunReport) -> bool:
    """Whether the run of a control serves the dataset of that report, too."""
    if control.arm in TREATMENTS:
        return False
    here, there = (
        found.shared.shown_by(control.arm, control.config.recipe.steps)
        for found in (control, report)
    )
    return here == there or control.controls == report.controls


def _names(runs: Mapping[str, RunResult]) -> dict[str, str]:
    """A name for each dataset, by digest; part of the digest follows it where two have one name."""
    names = {digest: run.report.manifest.name for digest, run in runs.items()}
    called = Counter(names.values())
    return {d: name if called[name] == 1 else f"{name}-{d[:8]}" for d, name in names.items()}


def _place(report: RunReport) -> tuple[float, str]:
    return float(report.regime or 100), report.manifest.name


def _arms(runs: Sequence[RunResult], common: Sequence[str]) -> list[ArmRuns]:
    """The arms; a title is the name and what is unusual about it, such as `gan, flip`."""
    by_title: dict[str, list[RunResult]] = {}
    for run in runs:
        arm = run.report.arm
        known = (*common, arm)  # flip and radiograph say so themselves
        title = ", ".join([arm, *(m for m in run.modifiers if m not in known)])
        by_title.setdefault(title, []).append(run)
    return [_seeds(title, group) for title, group in by_title.items()]


def _seeds(title: str, runs: Sequence[RunResult]) -> ArmRuns:
    """The runs of an arm by seed; UsageError where they differ in anything else."""
    ordered = sorted(runs, key=lambda run: run.seed)
    first = ordered[0]
    for before, run in pairwise(ordered):
        if before.seed == run.seed:
            raise UsageError(
                f"{before.folder} and {run.folder} are both arm {title} with seed {run.seed}:"
                " leave one of them out."
            )
        if other := [k for k, v in run.recipe.items() if first.recipe.get(k) != v]:
            raise UsageError(
                f"{first.folder} and {run.folder} are both arm {title} but differ in {other[0]}"
                f" ({first.recipe.get(other[0])} and {run.recipe[other[0]]}): report them apart."
            )
    return ArmRuns(title=title, runs=tuple(ordered))


def check_same_test(study: Study) -> None:
    """Raise CheckError where its runs were not tested on the same images and labels."""
    first = study.arms[0].runs[0]
    labels = first.test.labels
    for run in (run for arm in study.arms for run in arm.runs):
        same = run.test.names == first.test.names and np.array_equal(run.test.key, first.test.key)
        if not same or not np.array_equal(run.test.patient, first.test.patient):
            raise CheckError(
                f"{first.folder} and {run.folder} were not tested on the same images: run"
                " xtrain evaluate on both again."
            )
        # an image that a run did not read has unknown labels there
        if ((labels != run.test.labels) & (labels >= 0) & (run.test.labels >= 0)).any():
            raise CheckError(
                f"{run.folder} was not tested on the labels of {first.folder} and the other runs:"
                " run xtrain evaluate on all of them again."
            )
        labels = np.maximum(labels, run.test.labels)


def _with_groups(arms: Sequence[ArmRuns]) -> tuple[ArmRuns, ...]:
    """The arms, all with the groups of the first run that has them: earlier versions had none."""
    runs = [run for arm in arms for run in arm.runs]
    found = {name: texts for run in reversed(runs) for name, texts in run.test.groups.items()}
    known = {name: found[name] for name in GROUPS if name in found}
    return tuple(
        replace(
            arm,
            runs=tuple(replace(run, test=replace(run.test, groups=known)) for run in arm.runs),
        )
        for arm in arms
    )
