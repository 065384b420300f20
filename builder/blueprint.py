"""What the labels alone decide: labels → split → plan → Blueprint."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from builder.checks import Check, find_checks
from builder.contract import UsageError
from builder.labels import read_labels
from builder.labels.chexpert import find_chexpert
from builder.plan import Plan, check_positives
from builder.recipe import (
    GeneratorSpec,
    RealRequest,
    Request,
    resolve_name,
    resolve_targets,
)
from builder.render import LabelMap, parse_label_map
from builder.split import Cohort, Split, make_cohort

_Asked = TypeVar("_Asked", bound=RealRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """What the labels alone decide, before a generator is loaded or an image is touched."""

    request: Request
    name: str
    cohort: Cohort
    targets: tuple[str, ...]
    plan: Plan
    generator: GeneratorSpec
    label_map: LabelMap  # the generator's side as it was typed
    checks: tuple[Check, ...]  # what images must pass, but for duplicates


def prepare(request: Request) -> Blueprint:
    """The blueprint of a dataset: labels → split → plan. Reads labels only, writes nothing."""
    name = resolve_name(request.name, "gan", request.regime)
    generator = request.generator_spec()
    cohort = read_cohort(request)
    pathologies = cohort.table.pathologies
    label_map = parse_label_map(request.label_map, pathologies)
    targets = resolve_targets(request, cohort.table)
    checks = _find_checks(request, cohort.split)
    check_positives(pathologies, targets, cohort.labels_by_part())
    return Blueprint(
        request=request,
        name=name,
        cohort=cohort,
        targets=targets,
        plan=request.plan(targets, pathologies, cohort.train_labels),
        generator=generator,
        label_map=label_map,
        checks=checks,
    )


def _find_checks(request: Request, split: Split) -> tuple[Check, ...]:
    """The checks; UsageError where one needs real images that are not there."""
    rows = {"train": split.train, "val": split.val, "test": split.test}
    checks = find_checks(request.checks)
    for check in checks:
        if check.needs and request.real == "none":
            raise UsageError(f"The check {check.identity} looks at real images: use --real pack.")
        for name in check.needs:
            if not len(rows[name]):
                raise UsageError(f"The check {check.identity} needs {name} images: use --holdout.")
        if (enough := getattr(check, "check_held_out", None)) is not None:
            enough(len(split.val))
    return tuple(checks)


def read_cohort(request: RealRequest) -> Cohort:
    """labels → split."""
    table = read_labels(
        request.dataset,
        labels=request.labels,
        root=request.root,
        links_to=request.links_to,
        options=request.table,
        official=request.split == "official",
        uncertain=request.uncertain,
        views=request.views,
    )
    val, test = request.holdout
    return make_cohort(
        table,
        by=request.split,
        regime=Fraction(request.regime),
        holdout=(Fraction(val), Fraction(test)),
        seed=request.seed,
    )


def with_images(request: _Asked, folder: Path) -> _Asked:
    """The request with the CheXpert that lies in `folder`, where no other root was asked for.

    UsageError where CheXpert's images are needed and are not there.
    """
    needed = not (isinstance(request, Request) and request.real == "none")
    if request.dataset != "chexpert" or request.root is not None or not needed:
        return request
    if (found := find_chexpert(folder)) is None:
        ways = ["add --root FOLDER", "use --dataset demo, which needs no images"]
        if isinstance(request, Request):
            ways.append("build the synthetic half alone with --real none")
        raise UsageError(
            f"No CheXpert images were found: XBUILD_ROOT names no folder, and {folder} neither is "
            f"nor holds CheXpert-v1.0-small or CheXpert-v1.0; {', or '.join(ways)}."
        )
    return replace(request, root=found)
