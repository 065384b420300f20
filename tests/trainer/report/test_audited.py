"""The audit of a dataset, where its runs are compared."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.contract import Manifest, load_manifest
from builder.contract.audit import Audit, audit_path, page_path, write_audit
from trainer.report.audited import FoundAudit, audit_of
from trainer.report.comparison_report import Report
from trainer.report.markup import latex, markdown
from trainer.report.page import page
from trainer.report.results import ArmResult, DatasetResult
from trainer.report.write import _link

SENTENCE = "None of 40 synthetic images is < suspected & 5 % missed."


@pytest.fixture
def place(shared: Any, tmp_path: Path) -> Path:
    """A copy of a dataset's manifest, where an audit may be written."""
    path = tmp_path / "manifests" / Path(shared.path).name
    path.parent.mkdir()
    shutil.copy(shared.path, path)
    return path


@pytest.fixture
def own(audit: Audit, place: Path) -> Audit:
    manifest: Manifest = load_manifest(place)
    return replace(audit, name=manifest.name, digest=manifest.digest, summary=(SENTENCE,))


@pytest.fixture
def dataset(
    report: Report, place: Path, own: Audit, untrained: Callable[[str], ArmResult]
) -> DatasetResult:
    run = next(arm for arm in report.datasets[0].arms if arm.title == "gan").runs[0]
    run = replace(run, config=replace(run.config, shards=str(place), shards_root=None))
    arms = (replace(untrained("gan"), runs=(run,)),)
    return replace(report.datasets[0], name="tiny", digest=own.digest, arms=arms)


def test_the_audit_of_exactly_this_dataset_is_found(
    dataset: DatasetResult, place: Path, own: Audit
) -> None:
    assert audit_of(dataset) == FoundAudit()
    path = audit_path(place, own.name)
    write_audit(own, path)
    assert audit_of(dataset) == FoundAudit(summary=(SENTENCE,))
    page_path(path).write_text("")
    assert audit_of(dataset).page == page_path(path)
    write_audit(replace(own, digest="b" * 64), path)
    assert "another state of the dataset" in audit_of(dataset).note
    path.write_text("{}")
    assert "tiny: its audit cannot be read" in audit_of(dataset).note
    assert not audit_of(dataset).summary


def test_a_dataset_elsewhere_has_none(dataset: DatasetResult, place: Path, own: Audit) -> None:
    write_audit(own, audit_path(place, own.name))
    assert audit_of(replace(dataset, digest="c" * 64)) == FoundAudit()
    place.unlink()
    assert audit_of(dataset) == FoundAudit()
    (arm,) = dataset.arms
    config = replace(arm.runs[0].config, shards="s3://bucket/manifests/a.json")
    arm = replace(arm, runs=(replace(arm.runs[0], config=config),))
    assert audit_of(replace(dataset, arms=(arm,))) == FoundAudit()


@pytest.mark.usefixtures("words_alone")
def test_its_sentences_stand_in_every_report_and_the_page_links_it(report: Report) -> None:
    first, *rest = report.datasets
    told = replace(report, datasets=(replace(first, audit=(SENTENCE,)), *rest))
    link = _link(Path("/data/a b/audits/gan1.audit.html"), Path("/data/runs/report"))
    assert link == "../../a%20b/audits/gan1.audit.html"
    text = page(told, (), {first.digest: link})
    assert "is &lt; suspected &amp; 5 % missed." in text
    assert f'<a href="{link}">The whole audit of {first.name}</a>' in text
    assert 'href="#audit"' in text
    assert "- None of 40 synthetic images is < suspected & 5 % missed." in markdown(told)
    assert r"is $<$ suspected \& 5 \% missed." in latex(told)
    without = page(report)
    assert 'href="#audit"' not in without
    assert not re.search("whole audit", without)
    assert "Audit of" not in markdown(report) + latex(report)
