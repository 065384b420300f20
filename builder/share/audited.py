"""The audit of a dataset → what of it may leave, and what the card says of it.

An audit lists what points at single patients: which training image a suspect repeats, and label
vectors of very few. Figures leave, such lists do not, nor does the page, which shows real images.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builder.contract import GROUPS, CheckError, Manifest, UsageError, printable
from builder.contract.audit import Audit, Told, audit_path, read_audit
from builder.share.summary import FEW

AUDIT = "audit.json"  # in a release

_KINDS = {*(f"other {name}" for name in GROUPS), *(word for row in GROUPS.values() for word in row)}
_LEFT_OUT = (
    "This is the published part of an audit: lists of suspects and of rare label vectors, sources "
    f"of real images other than view, sex and age, and figures of fewer than {FEW} real images are "
    "left out."
)


def own_audit(manifest_path: Path, manifest: Manifest, given: Path | None) -> Audit | None:
    """The audit of exactly this dataset: `given`, or where `xbuild audit` writes it; or None.

    UsageError where the file is missing or is the audit of another dataset.
    """
    path = given or audit_path(manifest_path, manifest.name)
    if not path.is_file():
        if given is None:
            return None
        raise UsageError(f"There is no audit {given}: xbuild audit writes one.")
    audit = read_audit(path)
    if audit.digest != manifest.digest:
        raise UsageError(
            f"{path} is the audit of another dataset: it is of digest {audit.digest[:12]}, and "
            f"{manifest_path} has digest {manifest.digest[:12]}; run xbuild audit {manifest_path} "
            "again, or move the file away."
        )
    return audit


def for_strangers(audit: Audit) -> Audit:
    """The audit without what points at single patients; of its own it gives the same again."""
    shortcuts, copies, rare = audit.shortcuts, audit.copies, audit.rare
    return replace(
        audit,
        agreement=tuple(
            each for each in audit.agreement if min(each.real_positives, each.real_negatives) >= FEW
        ),
        shortcuts=shortcuts and replace(shortcuts, sources=_plain(shortcuts.sources)),
        copies=copies and replace(copies, listed=(), duplicates_listed=()),
        rare=rare and replace(rare, listed=()),
        notes=audit.notes if _LEFT_OUT in audit.notes else (*audit.notes, _LEFT_OUT),
    )


def check_audit(path: Path, manifest: Manifest) -> None:
    """CheckError unless the audit in a release is of its dataset and tells nothing of patients."""
    audit = read_audit(path)
    if audit.digest != manifest.digest:
        raise CheckError(f"{AUDIT} is the audit of another dataset than {manifest.name}.")
    if audit != for_strangers(audit):
        raise CheckError(f"{AUDIT} lists what points at single patients.")


def audit_part(audit: Audit | None) -> list[str]:
    """The card's part on the audit: a heading and its paragraphs."""
    head = "## What an audit found"
    if audit is None:
        return [head, "No audit of these images is part of this release."]
    sentences = "\n".join(f"- {_plain_text(sentence)}" for sentence in audit.summary)
    whose = (
        "the real images of this dataset"
        if audit.real == audit.digest
        else f"the real images of the dataset `{audit.real}`"
    )
    return [
        head,
        f"`xbuild audit` compared the synthetic images with {whose}, in which it had no part "
        f"other than to look. All figures stand in `{AUDIT}`, each beside its floor: the same "
        "figure between real images.",
        sentences,
    ]


def _plain(sources: Sequence[Told]) -> tuple[Told, ...]:
    """Those between views, sexes or ages, of enough images."""
    return tuple(told for told in sources if {*told.kinds} <= _KINDS and min(told.n) >= FEW)


def _plain_text(text: str) -> str:
    """A sentence as Markdown shows it."""
    shown = printable(" ".join(text.split()), 1000)
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|~$" else sign for sign in shown)
