"""Studies of the same real images → variants: each arm with synthetic images against plain `gan`.

The reference is `gan` of the dataset whose runs come first (see `in_order`). A variant is any other
arm with synthetic images, of that dataset or of another one with the same real images: other label
vectors, a check, another share or generator, a weight, pretraining. Test images are the same, so
the differences are paired.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from trainer.arms import TREATMENTS
from trainer.evaluate.inference import difference, holm, verdict
from trainer.progress import Advance
from trainer.report.across import Variant
from trainer.report.arm_figures import finite, missing, numbers
from trainer.report.compare import AGAINST_ANOTHER
from trainer.report.conclusions import MIRRORED
from trainer.report.dose import but_for
from trainer.report.resampled import Resampled
from trainer.report.results import Setting
from trainer.report.run_report import Description
from trainer.report.studies import OF_AN_ARM, ArmRuns, Study, check_same_test

UNTOLD = ("name", "max_per_real", "generator_sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantStudy:
    """Arms to compare: the first is the reference."""

    study: Study
    datasets: tuple[Study, ...]  # of each arm


def in_order(studies: Sequence[Study], paths: Sequence[Path]) -> list[Study]:
    """Studies as their runs were named; of one folder first those that were built as usual."""
    roots = [path.resolve() for path in paths]

    def place(study: Study) -> tuple[int, bool, int]:
        build, own = study.report.build, [arm for arm in study.arms if not arm.lent_by]
        folders = [run.folder.resolve() for arm in own for run in arm.runs]
        below = (i for i, root in enumerate(roots) for f in folders if f.is_relative_to(root))
        first = min(below, default=len(roots))
        return first, build.get("vectors", "lp") != "lp", len(_words(build.get("checks")))

    return sorted(studies, key=place)


def variant_studies(studies: Sequence[Study]) -> tuple[VariantStudy, ...]:
    """The arms with synthetic images of each group of datasets with the same real images.

    `studies` are as `in_order` has them. CheckError where the runs were not
    tested on the same images.
    """
    groups: dict[str, list[Study]] = {}
    for study in studies:
        if study.report.real and study.report.targets:
            groups.setdefault(study.report.real, []).append(study)
    found = (_variant_study(group) for group in groups.values())
    return tuple(each for each in found if each)


def apart(studies: Sequence[Study]) -> Iterator[str]:
    """Notes on datasets with as many real images whose shards have other bytes.

    Such datasets share neither controls nor variants, which a reader would miss.
    """
    first: dict[tuple[object, ...], Study] = {}
    for study in studies:
        report = study.report
        counts = [n for part, n in sorted(report.images.items()) if part.endswith("real")]
        if not report.real or not any(arm.name in TREATMENTS for arm in study.arms):
            continue
        other = first.setdefault((report.regime, report.targets, *counts), study)
        if other.report.real != report.real:
            yield (
                f"{other.name} and {study.name} are not compared with each other: they have as many"
                " real images, but the bytes of their real shards differ. Build both with the same"
                " images and the same version."
            )


def _variant_study(group: Sequence[Study]) -> VariantStudy | None:
    own = [
        (study, arm)
        for study in group
        for arm in study.arms
        if arm.name in TREATMENTS and not arm.lent_by
    ]
    plain = next((pair for pair in own if pair[1].title == MIRRORED), None)
    if plain is None or len(own) < 2:
        return None
    pairs = [plain, *(pair for pair in own if pair is not plain)]
    targets = plain[0].report.targets
    arms = tuple(_of_targets(arm, targets) for _, arm in pairs)
    study = replace(plain[0], arms=arms)
    check_same_test(study)
    return VariantStudy(study=study, datasets=tuple(own for own, _ in pairs))


def _of_targets(arm: ArmRuns, targets: Sequence[str]) -> ArmRuns:
    runs = (replace(run, test=run.test.only(targets)) for run in arm.runs)
    return replace(arm, runs=tuple(runs))


def variants(found: VariantStudy, *, min_positives: int, advance: Advance) -> Iterator[Variant]:
    """Each variant on each target; `advance` is called as by `compare`."""
    study, resampled = found.study, Resampled.of(found.study, advance)
    aucs, plain = resampled.aucs, study.arms[0]
    why = [missing(labels, min_positives) for labels in resampled.labels.T]
    for number, (arm, dataset) in enumerate(zip(study.arms, found.datasets, strict=True)):
        if not number:
            continue
        gaps = [
            None if reason else difference(aucs[number], aucs[0], i, pooled_with=aucs)
            for i, reason in enumerate(why)
        ]
        adjusted = holm(np.array([np.nan if gap is None else gap.p for gap in gaps])).tolist()
        seeds = min(len(arm.runs), len(plain.runs))
        for i, (name, gap) in enumerate(zip(resampled.names, gaps, strict=True)):
            row = Variant(
                dataset=dataset.name,
                arm=arm.title,
                differs=(
                    *differs(dataset.report.build, study.report.build),
                    *trained_otherwise(arm, plain),
                ),
                reference=study.name,
                pathology=name,
                missing=why[i],
            )
            if gap is not None:
                said = verdict(gap, adjusted[i], seeds=seeds)
                row = replace(
                    row,
                    **asdict(numbers(gap)),
                    p=finite(gap.p),
                    holm=finite(adjusted[i]),
                    verdict=AGAINST_ANOTHER.get(said, said),
                )
            yield row


def differs(build: Description, reference: Description) -> Iterator[str]:
    """In what a recipe differs from another, such as `share 0.25`."""
    ours, theirs = (but_for(found, *UNTOLD) for found in (build, reference))
    for name in dict.fromkeys((*ours, *theirs)):
        usual = {"vectors": "lp"}.get(name)
        value, other = ours.get(name, usual), theirs.get(name, usual)
        if value == other:
            continue
        if name == "checks":
            more = [_check(c) for c in _words(value) if c not in _words(other)]
            fewer = [f"no check {_check(c)}" for c in _words(other) if c not in _words(value)]
            yield from (*(f"check {word}" for word in more), *fewer)
        else:
            yield f"{name.replace('_', ' ')} {_said(value)}"
    sums = [found.get("generator_sha256") for found in (build, reference)]
    if sums[0] != sums[1] and ours.get("generator") == theirs.get("generator"):
        yield f"generator {str(sums[0])[:8]}"


def trained_otherwise(arm: ArmRuns, reference: ArmRuns) -> Iterator[str]:
    """In what an arm's training differs from another's, such as `lr 0.1`; titles say the rest."""
    ours, theirs = (_training(found.runs[0].recipe) for found in (arm, reference))
    for name, value in ours.items():
        if value != theirs[name]:
            yield f"{name.replace('_', ' ')} {value}"


def _training(recipe: Mapping[str, Setting]) -> dict[str, object]:
    """What is in no title; a file to begin with is told by its sha256, wherever it lies."""
    digest = recipe["init_sha256"]
    told = but_for(recipe, *OF_AN_ARM, "init_sha256")
    return told if digest is None else told | {"init": str(digest)[:8]}


def _words(value: object) -> list[str]:
    return [*map(str, value)] if isinstance(value, list | tuple) else []


def _check(identity: str) -> str:
    """The name and setting of a check, without the sha256 of its file."""
    return identity.partition(":sha256:")[0]


def _said(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
