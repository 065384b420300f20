"""The record of an audit: what is written is what is read, and nothing else is read."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.contract import CheckError
from builder.contract.audit import (
    Audit,
    Interval,
    Nearness,
    audit_bytes,
    audit_path,
    page_path,
    read_audit,
    write_audit,
)


def test_what_is_written_is_read(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "audits" / "gan100.audit.json"
    write_audit(audit, path)
    assert read_audit(path) == audit
    assert path.read_bytes() == audit_bytes(read_audit(path))
    bare = replace(audit, quality=None, agreement=(), shortcuts=None, copies=None, nearness=None)
    write_audit(bare, path)
    assert read_audit(path) == bare


def test_it_lies_where_no_manifest_is_looked_for(tmp_path: Path) -> None:
    manifest = tmp_path / "manifests" / "gan100.json"
    path = audit_path(manifest, "gan100")
    assert path == tmp_path / "audits" / "gan100.audit.json"
    assert page_path(path) == tmp_path / "audits" / "gan100.audit.html"
    assert audit_path(tmp_path / "gan100.json", "gan100") == path  # in no folder `manifests`
    assert audit_path(manifest, "a", tmp_path / "b") == tmp_path / "b" / "a.audit.json"


def test_what_no_json_can_hold_is_not_written(audit: Audit, tmp_path: Path) -> None:
    endless = Interval(value=float("nan"), low=0.0, high=1.0)
    path = tmp_path / "gan100.audit.json"
    with pytest.raises(CheckError, match="The audit of gan100 is not valid JSON"):
        write_audit(replace(audit, nearness=Nearness(share=endless, synthetic=1, real=1)), path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.pop("summary"), "is no audit: name the NAME.audit.json"),
        (lambda raw: raw.update(schema=2), "has schema 2; this version reads schema 1"),
        (lambda raw: raw.update(schema=True), "has schema True"),
        (lambda raw: raw.update(more=1), "more is no field that it may have"),
        (lambda raw: raw.update(digest="x"), "at digest"),
        (lambda raw: raw.update(name="<b>"), "the name '<b>' is not plain"),
        (lambda raw: raw.update(summary=[]), "a summary of 0 sentences"),
        (lambda raw: raw["copies"].update(suspects=-1), "at least 0 at copies.suspects"),
        (lambda raw: raw.pop("copies"), "copies"),
    ],
)
def test_a_strangers_nonsense_is_one_sentence(
    audit: Audit, tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    path = tmp_path / "gan100.audit.json"
    raw = json.loads(audit_bytes(audit))
    change(raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(CheckError) as found:
        read_audit(path)
    assert said in str(found.value)
    assert str(path) in str(found.value)
