"""What `xbuild audit` found in the images of a dataset that runs were trained on.

The record lies next to the dataset (`builder.contract.audit`); nothing is fetched for it.
"""

from dataclasses import dataclass
from pathlib import Path

from builder.contract import Refusal, load_manifest
from builder.contract.audit import audit_path, page_path, read_audit
from builder.store import is_url
from trainer.report.results import DatasetResult


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAudit:
    """The audit of a dataset: its sentences, and its page where that is there."""

    summary: tuple[str, ...] = ()
    page: Path | None = None
    note: str = ""  # why there is none, where one lies there


def audit_of(dataset: DatasetResult) -> FoundAudit:
    """The audit of exactly that dataset, next to the manifest of its first own run."""
    arm = next((arm for arm in dataset.arms if not arm.lent_by), dataset.arms[0])
    place = arm.runs[0].config.shards
    if is_url(place):
        return FoundAudit()
    try:
        manifest = load_manifest(Path(place))
    except (OSError, Refusal):
        return FoundAudit()  # that the dataset is not there is said where its pictures are missing
    path = audit_path(Path(place), manifest.name)
    if manifest.digest != dataset.digest or not path.is_file():
        return FoundAudit()
    try:
        audit = read_audit(path)
    except Refusal as error:
        return FoundAudit(note=f"{dataset.name}: its audit cannot be read: {error}")
    if audit.digest != dataset.digest:
        return FoundAudit(
            note=f"{dataset.name}: {path} is the audit of another state of the dataset."
        )
    page = page_path(path)
    return FoundAudit(summary=audit.summary, page=page if page.is_file() else None)
