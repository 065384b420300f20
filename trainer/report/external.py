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
from trainer.report.conclusions import conclusions, plain_of, treated
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
    unread: int  # images that a run could not read, at most
    study: Study
    without: tuple[str, ...]  # titles of the other arms


def external_studies(study: Study, tests: Sequence[str] | None) -> tuple[ExternalStudy, ...]:
    """A study for each external test, by name; of those `tests` alone if given, by digest.

    A test on which no arm has all its runs scored has none: `unscored` names it. UsageError
    where its labels were matched differently, CheckError where the runs were not tested
    on the same images.
    """
    found = (_external_study(study, there) for there in _tests(study, tests))
    return tuple(each for each in found if each)


def unscored(study: Study, tests: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the external tests on which some runs were scored, but all of no arm."""
    return tuple(
        there.scores.test.name
        for there in _tests(study, tests)
        if not _arms_there(study, there.scores.test)
    )


def _tests(study: Study, tests: Sequence[str] | None) -> list[Elsewhere]:
    """One run's scores of each external test, by name."""
    found: dict[str, Elsewhere] = {}
    for run in (run for arm in study.arms for run in arm.runs):
        for there in run.elsewhere:
            if tests is None or there.scores.test.digest in tests:
                found.setdefault(there.scores.test.digest, there)
    return sorted(found.values(), key=lambda there: there.scores.test.name)


def _external_study(study: Study, first: Elsewhere) -> ExternalStudy | None:
    test, plan = first.scores.test, study.report.plan
    arms = _arms_there(study, test)
    if not arms:
        return None
    names = tuple(name for name in first.test.names if name in dict(test.labels))
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
    scored = [_there(run, test) for arm in arms for run in arm.runs]
    return ExternalStudy(
        test=test,
        source=first.scores.source,
        unread=max(each.scores.unread for each in scored if each),
        study=there,
        without=tuple(arm.title for arm in study.arms if arm.title not in titles),
    )


def _arms_there(study: Study, test: ExternalTest) -> list[ArmRuns]:
    """The arms of which every run was scored there."""
    return [arm for arm in study.arms if all(_there(run, test) for run in arm.runs)]


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
        unread=there.unread,
        targets=found.targets,
        positives=found.positives,
        arms={arm.title: arm.pathologies for arm in found.arms},
        comparisons=found.comparisons,
        conclusions=tuple(_carried(said, home, there)),
    )


def _carried(
    said: Sequence[Conclusion], home: DatasetResult, there: ExternalStudy
) -> Iterator[ExternalConclusion]:
    name = there.test.name
    known = {(found.pathology, found.arm): found.verdict for found in home.conclusions}
    plain = {arm.title: plain_of(home, arm) for arm in treated(home)}
    for found in said:
        control = plain[found.arm]
        own = known[found.pathology, found.arm]
        carried = carries_over(own, found.verdict)
        rest = found.sentence.removeprefix(f"{found.pathology}: ")
        opening = f"{OPENINGS[carried]} to {name}: " if carried in OPENINGS else f"on {name}, "
        if carried == "reversed":
            opening = f"{OPENINGS[carried]} on {name}: "
        if control and control.title in there.without:
            opening = f"on {name}, nothing can be said of a gain, because not every run of "
            opening += f"{control.title} was scored there"
            rest = "." if found.verdict == "no control" else f"; {rest}"
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
