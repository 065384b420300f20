"""A study's runs on the test images of another dataset → ExternalResult: does a gain carry over?

Everything is computed as at home: the same resampling of that dataset's patients, the same
intervals, Holm's correction over the targets that it labels, and the same words.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from builder.contract import UsageError
from trainer.evaluate.external import ExternalTest
from trainer.progress import Advance
from trainer.report.compare import compare
from trainer.report.conclusions import conclusions
from trainer.report.load import Elsewhere, RunResult
from trainer.report.results import (
    CarriesOver,
    Conclusion,
    DatasetResult,
    ExternalConclusion,
    ExternalResult,
    Judgement,
)
from trainer.report.studies import ArmRuns, Study, check_same_test

OPENINGS: Mapping[CarriesOver, str] = {
    "carries over": "the gain carries over",
    "no evidence": "there is no evidence that the gain carries over",
    "reversed": "the gain is reversed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalStudy:
    """The arms whose runs were all scored on another dataset, as a study of its test images."""

    test: ExternalTest
    source: dict[str, object]
    study: Study
    without: tuple[str, ...]  # titles of the other arms


def external_studies(study: Study, tests: Sequence[str] | None) -> tuple[ExternalStudy, ...]:
    """A study for each external test, by name; of those `tests` alone if given, by digest.

    UsageError where its labels were matched differently, CheckError where the runs were not tested
    on the same images.
    """
    found: dict[str, Elsewhere] = {}
    for run in (run for arm in study.arms for run in arm.runs):
        for there in run.elsewhere:
            if tests is None or there.scores.test.digest in tests:
                found.setdefault(there.scores.test.digest, there)
    ordered = sorted(found.values(), key=lambda there: there.scores.test.name)
    return tuple(_external_study(study, there) for there in ordered)


def _external_study(study: Study, first: Elsewhere) -> ExternalStudy:
    test, plan = first.scores.test, study.report.plan
    names = tuple(name for name in first.test.names if name in dict(test.labels))
    arms = [arm for arm in study.arms if all(_there(run, test) for run in arm.runs)]
    if plan is not None:
        plan = replace(plan, targets=tuple(t for t in plan.targets if t.pathology in names))
    there = Study(
        name=study.name,
        report=replace(study.report, plan=plan),
        arms=tuple(_tested_there(arm, test, names) for arm in arms),
        common=study.common,
    )
    check_same_test(there)
    titles = {arm.title for arm in arms}
    return ExternalStudy(
        test=test,
        source=first.scores.source,
        study=there,
        without=tuple(arm.title for arm in study.arms if arm.title not in titles),
    )


def _there(run: RunResult, test: ExternalTest) -> Elsewhere | None:
    return next((t for t in run.elsewhere if t.scores.test.digest == test.digest), None)


def _tested_there(arm: ArmRuns, test: ExternalTest, names: Sequence[str]) -> ArmRuns:
    runs = []
    for run in arm.runs:
        there = _there(run, test)
        assert there is not None
        if there.scores.test.labels != test.labels:
            raise UsageError(
                f"{run.folder} was scored on {test.name} with other labels than other runs: score"
                " all of them again with the same --test-label."
            )
        runs.append(replace(run, test=there.test.only(names)))
    return replace(arm, runs=tuple(runs))


def external(
    there: ExternalStudy,
    home: DatasetResult,
    *,
    level: float,
    min_positives: int,
    advance: Advance,
) -> ExternalResult:
    """What the arms scored there; `home` is what they scored on their own test images.

    `advance` is called as by `compare`.
    """
    found = compare(there.study, min_positives=min_positives, advance=advance)
    said = conclusions(found, level)
    return ExternalResult(
        name=there.test.name,
        digest=there.test.digest,
        source=there.source,
        test=found.test,
        labels=dict(there.test.labels),
        left_out=there.test.left_out,
        without=there.without,
        targets=found.targets,
        positives=found.positives,
        arms={arm.title: arm.pathologies for arm in found.arms},
        comparisons=found.comparisons,
        conclusions=tuple(_carried(said, home.conclusions, there.test.name)),
    )


def _carried(
    said: Sequence[Conclusion], at_home: Sequence[Conclusion], name: str
) -> Iterator[ExternalConclusion]:
    known = {(found.pathology, found.arm): found.verdict for found in at_home}
    for found in said:
        own = known[found.pathology, found.arm]
        carried = carries_over(own, found.verdict)
        rest = found.sentence.removeprefix(f"{found.pathology}: ")
        opening = f"{OPENINGS[carried]} to {name}: " if carried in OPENINGS else f"on {name}, "
        if carried == "reversed":
            opening = f"{OPENINGS[carried]} on {name}: "
        yield ExternalConclusion(
            pathology=found.pathology,
            arm=found.arm,
            verdict=found.verdict,
            at_home=own,
            carries_over=carried,
            sentence=f"{found.pathology}: {opening}{rest}",
        )


def carries_over(at_home: Judgement, there: Judgement) -> CarriesOver:
    """Whether an arm that helped at home helped there, too."""
    if at_home != "helped":
        return "no gain"
    if there == "helped":
        return "carries over"
    return "reversed" if there == "hurt" else "no evidence"
