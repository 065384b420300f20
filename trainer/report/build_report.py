"""The folders of several runs → Report: what the page, the tables and the terminal say."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builder.contract import in_short
from trainer.progress import progress
from trainer.report.compare import compare, settings
from trainer.report.comparison_report import Report
from trainer.report.conclusions import conclusions
from trainer.report.dose import dose_curves
from trainer.report.external import external, external_studies, unscored
from trainer.report.finding import NAMED, find_runs, unfinished
from trainer.report.gathering import software
from trainer.report.load import load_run
from trainer.report.notes import notes
from trainer.report.resampled import effort
from trainer.report.studies import studies
from trainer.report.variants import apart, in_order, variant_studies, variants


def build_report(
    paths: Sequence[Path],
    *,
    min_positives: int,
    command: str,
    tests: Sequence[str] | None = None,
) -> Report:
    """What the runs at or below `paths` say together; `command` is the one that asked for it.

    `tests` are the digests of the external tests that it shows; None: all that the runs have.
    """
    runs = [load_run(folder) for folder in find_runs(paths)]
    found = studies(runs)
    differing = variant_studies(in_order(found, paths))
    how, datasets = settings(min_positives), []
    elsewhere = {study.name: external_studies(study, tests) for study in found}
    every = [*found, *(test.study for tests in elsewhere.values() for test in tests)]
    every += (each.study for each in differing)
    with progress("comparing", sum(map(effort, every)), unit="AUCs") as advance:
        for study in found:
            result = compare(study, min_positives=min_positives, advance=advance)
            result = replace(result, conclusions=conclusions(result, how.level))
            tested = (
                external(
                    test, result, level=how.level, min_positives=min_positives, advance=advance
                )
                for test in elsewhere[study.name]
            )
            without = unscored(study, tests)
            datasets.append(replace(result, external=tuple(tested), unscored=without))
        against_plain = [
            row
            for each in differing
            for row in variants(each, min_positives=min_positives, advance=advance)
        ]
    begun = unfinished(paths)
    return Report(
        settings=how,
        notes=(
            *((f"not finished and left out: {in_short(begun, NAMED)}.",) if begun else ()),
            *(note for dataset in datasets for note in notes(dataset, how)),
            *apart(in_order(found, paths)),
        ),
        datasets=tuple(datasets),
        command=command,
        software=software(),
        doses=dose_curves(datasets),
        variants=tuple(against_plain),
    )
