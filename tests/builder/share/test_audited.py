"""What of an audit leaves in a release: figures, and nothing that points at single patients."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from builder.contract import CheckError, Manifest, UsageError
from builder.contract.audit import Audit, audit_bytes, read_audit, write_audit
from builder.progress import progress
from builder.share.audited import AUDIT, audit_part, check_audit, for_strangers, own_audit
from builder.share.check import check_release
from builder.share.publisher import Publisher
from builder.share.release import compose
from builder.share.writing import write_release


@pytest.fixture
def own(audit: Audit, manifest: Manifest) -> Audit:
    """The audit of the small clinic's dataset."""
    return replace(audit, digest=manifest.digest, real=manifest.digest)


def test_figures_leave_and_lists_of_patients_do_not(audit: Audit) -> None:
    assert audit.shortcuts is not None
    hospital = replace(audit.shortcuts.sources[0], kinds=("St. Anna", "other source"))
    few = replace(audit.shortcuts.sources[0], n=(9, 400))
    other = replace(audit.shortcuts.sources[0], kinds=("80-", "other age"))
    sources = (*audit.shortcuts.sources, hospital, few, other)
    rarely = replace(audit.agreement[0], target="Hernia", real_positives=9)
    full = replace(
        audit,
        agreement=(*audit.agreement, rarely),
        shortcuts=replace(audit.shortcuts, sources=sources),
    )
    found = for_strangers(full)
    text = audit_bytes(found).decode()
    assert "real-0000" not in text
    assert "gan100-mass" not in text  # which image to look at is told by the list of suspects
    assert "Anna" not in text
    assert "Hernia" not in text
    assert found.quality == audit.quality
    assert found.shortcuts is not None
    assert found.shortcuts.sources == (*audit.shortcuts.sources, other)
    assert found.copies is not None
    assert audit.copies is not None
    assert found.copies.suspects == 2
    assert found.copies.planted == audit.copies.planted
    assert found.rare is not None
    assert (found.rare.vectors, found.rare.listed) == (1, ())
    assert "lists of suspects" in found.notes[-1]
    assert for_strangers(found) == found
    bare = replace(audit, shortcuts=None, copies=None, rare=None)
    assert for_strangers(bare).copies is None


def test_the_audit_of_exactly_this_dataset_is_found(
    own: Audit, audit: Audit, sealed: Path, manifest: Manifest, tmp_path: Path
) -> None:
    path = sealed / "manifests" / "gan100.json"
    assert own_audit(path, manifest, None) is None
    write_audit(own, sealed / "audits" / "gan100.audit.json")
    assert own_audit(path, manifest, None) == own
    write_audit(audit, tmp_path / "other.json")
    with pytest.raises(UsageError, match=r"is the audit of another dataset.*aaaaaaaaaaaa, and"):
        own_audit(path, manifest, tmp_path / "other.json")
    with pytest.raises(UsageError, match="There is no audit"):
        own_audit(path, manifest, tmp_path / "none.json")
    write_audit(audit, sealed / "audits" / "gan100.audit.json")
    with pytest.raises(UsageError, match="or move the file away"):
        own_audit(path, manifest, None)


def test_the_card_says_what_was_found_or_that_nobody_looked(audit: Audit) -> None:
    assert audit_part(None)[1] == "No audit of these images is part of this release."
    text = "\n".join(audit_part(audit))
    assert "- One.\n- Two.\n- Three.\n- Four.\n- Five." in text
    assert f"`{AUDIT}`" in text
    assert "the real images of this dataset" in text
    assert f"dataset `{'b' * 64}`" in "\n".join(audit_part(replace(audit, real="b" * 64)))
    strange = "\n".join(audit_part(replace(audit, summary=("<img src=x>\n# *Head*",))))
    assert "<img" not in re.sub(r"\\<", "", strange)
    assert "\n# " not in strange


def test_a_release_holds_the_audit_and_is_checked_with_it(
    own: Audit, sealed: Path, publisher: Publisher, tmp_path: Path
) -> None:
    path = sealed / "manifests" / "gan100.json"
    write_audit(own, sealed / "audits" / "gan100.audit.json")
    release = compose(path, publisher, root=None, tables=[], progress=progress)
    folder = tmp_path / "release"
    assert write_release(release, folder, key=None, progress=progress)
    assert read_audit(folder / AUDIT) == for_strangers(own)
    assert "- Five." in (folder / "README.md").read_text()
    assert list(check_release(folder)) == []
    data = b"".join(file.data or b"" for file in release.files)
    assert b"<html" not in data
    assert b"real-0000000000000001" not in data
    manifest = folder / "manifests" / "gan100.json"
    assert manifest.is_file()
    (folder / "audits").mkdir()  # a recipient's own
    (folder / "audits" / "gan100.audit.html").write_text("")
    assert list(check_release(folder)) == []


def test_an_audit_in_a_release_that_tells_too_much_is_a_fault(
    own: Audit, audit: Audit, manifest: Manifest, tmp_path: Path
) -> None:
    path = tmp_path / AUDIT
    write_audit(for_strangers(own), path)
    check_audit(path, manifest)
    write_audit(own, path)
    with pytest.raises(CheckError, match="points at single patients"):
        check_audit(path, manifest)
    write_audit(for_strangers(audit), path)
    with pytest.raises(CheckError, match="of another dataset than gan100"):
        check_audit(path, manifest)


def test_a_note_with_a_path_stops_the_release(
    own: Audit, sealed: Path, publisher: Publisher, tmp_path: Path
) -> None:
    file = tmp_path / "gan100.audit.json"
    write_audit(replace(own, notes=("See /home/anna/images.",)), file)
    with pytest.raises(CheckError, match=r"audit\.json \(notes\) holds an absolute path"):
        compose(
            sealed / "manifests" / "gan100.json",
            publisher,
            root=None,
            tables=[],
            progress=progress,
            audit=file,
        )
