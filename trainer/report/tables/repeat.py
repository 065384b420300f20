"""The table of everything that a repetition needs: digests, commands, versions."""

import json
from collections.abc import Iterator, Mapping

from trainer.report.comparison_report import Report
from trainer.report.results import ArmResult, DatasetResult
from trainer.report.run_report import text_of
from trainer.report.sentences import DASH
from trainer.report.tables.cells import Row, Table, starts


def repeat(report: Report) -> Table:
    """What each dataset, run and the report were made with; a run is listed once."""
    rows = list[Row]()
    for dataset in report.datasets:
        rows += _made_with(dataset)
        for arm in dataset.arms:
            if not arm.lent_by:
                rows += _runs(dataset, arm)
    rows += [
        ("report", "command", report.command),
        ("report", "software", _software(report.software)),
    ]
    return Table(
        key="repeat",
        title="How to repeat it",
        columns=("of", "what", ""),
        align="llm",
        rows=tuple(rows),
        note="The sha256 of a manifest identifies its dataset exactly, shards included.",
        starts=starts(rows),
    )


def _made_with(dataset: DatasetResult) -> Iterator[Row]:
    for what, value in (
        ("manifest, sha256", dataset.digest),
        ("recipe", json.dumps(dataset.build)),
        ("generator", dataset.generator_name),
        ("generator, sha256", text_of(dataset.generator, "sha256")),
        ("label table", dataset.label_table),
        ("label table, sha256", text_of(dataset.source, "labels_sha256")),
    ):
        yield dataset.name, what, value or DASH


def _runs(dataset: DatasetResult, arm: ArmResult) -> Iterator[Row]:
    for run in arm.runs:
        about = f"{dataset.name}, {arm.title}, seed {run.seed}"
        yield about, "command", run.command
        for file, digest in run.sha256.items():
            yield about, f"{file}, sha256", digest
        if run.config.init_sha256:
            yield about, "initial weights, sha256", run.config.init_sha256
        yield about, "software", _software(run.software)


def _software(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
