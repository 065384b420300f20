"""An audit → five sentences that a physician and a reviewer both understand, and how each stands.

They say what was found, what was not looked at, and what no figure here can say. Quality, labels,
shortcuts, copies, limits: one sentence each, in this order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from builder.audit.wording import count, interval, listed, number, title_of
from builder.contract.audit import Agreement, Audit, Copies, Planted, Told

Status = Literal["as real images", "look at this", "not tested", "what it cannot say"]

CLAIMED = 0.95  # share of planted copies from which a kind counts as found
_ORDER = ("none", "blurred", "re-encoded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence, and whether somebody should look at what it says."""

    topic: str
    status: Status
    sentence: str


def findings(audit: Audit) -> tuple[Finding, ...]:
    """The five findings of an audit, whose own summary is not looked at."""
    return (_quality(audit), _labels(audit), _shortcuts(audit), _copies(audit), _limits(audit))


def summarise(audit: Audit) -> tuple[str, ...]:
    """The five sentences."""
    return tuple(finding.sentence for finding in findings(audit))


def _quality(audit: Audit) -> Finding:
    figures = audit.quality.figures if audit.quality else ()
    if not any(figure.floor for figure in figures):
        return _found(
            "Quality",
            "not tested",
            "How like real images the synthetic ones are as a set was not judged, because there "
            "are too few real images to compare them with.",
        )
    worse = [title_of(figure.name) for figure in figures if figure.differs]
    if not worse:
        return _found(
            "Quality",
            "as real images",
            f"As a set, the synthetic images are in none of {len(figures)} figures of quality "
            "further from the real images than real images are from each other, beyond chance.",
        )
    return _found(
        "Quality",
        "look at this",
        f"As a set, the synthetic images are further from the real images than real images are "
        f"from each other, beyond chance, in {len(worse)} of {len(figures)} figures of quality: "
        f"{listed(worse)}.",
    )


def _labels(audit: Audit) -> Finding:
    bad = [each for each in audit.agreement if each.disagrees]
    good = [each for each in audit.agreement if each.tells and not each.disagrees]
    blind = [each.target for each in audit.agreement if not each.tells and not each.disagrees]
    if not bad and not good:
        return _found(
            "Labels",
            "not tested",
            "Whether the synthetic images show what their labels say was not tested: "
            f"{_why_not(audit)}.",
        )
    unsaid = f", and of {listed(blind)} nothing can be said" if blind else ""
    if not bad:
        return _found(
            "Labels",
            "as real images",
            "A classifier that was trained on real images finds in the synthetic images what their "
            f"labels say: {listed([*map(_auc, good)])}, where 0.5 is chance{unsaid}.",
        )
    rest = f", but finds {listed([each.target for each in good])} as well" if good else ""
    return _found(
        "Labels",
        "look at this",
        "A classifier that was trained on real images finds less in the synthetic images than "
        f"their labels say: {listed([*map(_auc, bad)])}, where 0.5 is chance{rest}{unsaid}.",
    )


def _why_not(audit: Audit) -> str:
    """Why nothing can be said of any label."""
    rare = [each.target for each in audit.agreement if each.real is None]
    blind = [each.target for each in audit.agreement if each.real is not None]
    whys = [f"the classifier finds {listed(blind)} too rarely in real images"] if blind else []
    whys += [f"there are too few real images with {listed(rare)}"] if rare else []
    return ", and ".join(whys) or "the notes of this audit say why"


def _auc(found: Agreement) -> str:
    real = f" against {number(found.real.value)} on real images" if found.real else ""
    return f"{found.target} (AUC {number(found.synthetic.value)}{real})"


def _shortcuts(audit: Audit) -> Finding:
    shortcuts = audit.shortcuts
    if shortcuts is None or not shortcuts.origin:
        return _found(
            "Shortcuts",
            "not tested",
            "Whether synthetic images can be told from real ones was not tested, because there are "
            "too few real or synthetic images.",
        )
    told = sorted(shortcuts.origin, key=_treated)
    auc = f"AUC {interval(told[0].auc)}{_treatments(told[1:])}; 0.5 is chance"
    if not shortcuts.told:
        return _found(
            "Shortcuts",
            "as real images",
            f"A simple classifier hardly tells synthetic images from real ones ({auc}), so no "
            "shortcut was found that another one could learn in place of the pathology.",
        )
    clue = ""
    if shortcuts.clues:
        clue = f", most easily by {title_of(shortcuts.clues[0].name)}"
    return _found(
        "Shortcuts",
        "look at this",
        f"A simple classifier tells synthetic images from real ones ({auc}){clue}: another one may "
        "learn where an image comes from in place of what it shows.",
    )


def _treated(told: Told) -> tuple[int, str]:
    place = _ORDER.index(told.treatment) if told.treatment in _ORDER else len(_ORDER)
    return place, told.treatment


def _treatments(told: Sequence[Told]) -> str:
    """The least and the greatest AUC after both sides were treated, and how."""
    if not told:
        return ""
    values = [each.auc.value for each in told]
    least, greatest = number(min(values)), number(max(values))
    span = least if least == greatest else f"{least} to {greatest}"
    *first, last = (each.treatment for each in told)
    return f", {span} with both {', '.join(first)}{' or ' if first else ''}{last}"


def _copies(audit: Audit) -> Finding:
    copies = audit.copies
    if copies is None:
        return _found(
            "Copies",
            "not tested",
            "Copies of training images were not looked for, because there are too few real images, "
            "or they are of too few patients.",
        )
    total = count(copies.synthetic, "synthetic image")
    if copies.suspects:
        one = copies.suspects == 1
        said = (
            f"{copies.suspects:,} of {total} {'is a' if one else 'are'} suspected "
            f"{'copy' if one else 'copies'} of training images, as {copies.accused:,} of "
            f"{count(copies.held_out, 'real image')} of other patients would be"
        )
    else:
        said = f"None of {total} is a suspected copy of a training image"
    bad = copies.suspects or copies.duplicates
    return _found("Copies", "look at this" if bad else "as real images", f"{said}{_power(copies)}")


def _power(copies: Copies) -> str:
    """What the detector finds and misses, and the end of the sentence."""
    planted = [each for each in copies.planted if each.planted]
    found = [each for each in planted if is_found(each)]
    missed = [each.kind for each in planted if not is_found(each)]
    kinds = (
        f"{len(found)} of {count(len(planted), 'kind')} of planted copies are found in "
        f"{100 * CLAIMED:.0f} %"
    )
    often = f", but {listed(missed, 2)} often missed" if missed else ""
    power = f" ({kinds}{often})" if planted else ""
    one = copies.duplicates == 1
    repeats = f"; {copies.duplicates:,} {'repeats' if one else 'repeat'} an earlier one"
    return f"{power}{repeats if copies.duplicates else ''}."


def is_found(planted: Planted) -> bool:
    """Whether so many of the planted copies of a kind were found that the page claims it."""
    return planted.planted > 0 and planted.found >= CLAIMED * planted.planted


def _limits(audit: Audit) -> Finding:
    signs = [*_nearer(audit), *_rare(audit)]
    also = f" ({'; '.join(signs)})" if signs else ""
    return _found(
        "Limits",
        "what it cannot say",
        "Distances between images do not measure membership risk: somebody may still learn whose "
        f"images the generator was trained on{also}.",
    )


def _nearer(audit: Audit) -> Sequence[str]:
    if audit.nearness is None:
        return ()
    share = audit.nearness.share
    low, value, high = (f"{100 * part:.1f}" for part in (share.low, share.value, share.high))
    return (
        f"{value} % ({low} to {high}) are nearer to training than to held-out images, by chance "
        "50 %",
    )


def _rare(audit: Audit) -> Sequence[str]:
    rare = audit.rare
    if rare is None or not rare.vectors:
        return ()
    have = "has" if rare.synthetic == 1 else "have"
    return (f"{rare.synthetic:,} {have} labels that fewer than {rare.fewer_than} patients share",)


def _found(topic: str, status: Status, sentence: str) -> Finding:
    return Finding(topic=topic, status=status, sentence=sentence)
