"""An audit → the HTML of its page: the summary first, then eight points, each beside its floor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from builder.audit.page.pairs import Pair, src
from builder.audit.page.scale import Strip, strip
from builder.audit.shortcuts import told_apart
from builder.audit.summary import CLAIMED, findings, is_found
from builder.audit.wording import (
    TREATMENTS,
    count,
    interval,
    kind_of,
    meaning_of,
    number,
    percent,
    plainly,
    title_of,
)
from builder.contract.audit import Agreement, Audit, Figure, Interval

POINTS = {  # in reading order
    "distance": "1. Distance between the sets",
    "spread": "2. Realism and variety",
    "sameness": "3. Sameness, sharpness, greys",
    "labels": "4. Labels",
    "shortcuts": "5. Shortcuts",
    "copies": "6. Suspected copies",
    "nearness": "7. Nearer to training images",
    "rare": "8. Rare labels and repeats",
}
SECTIONS = {"summary": "Summary", **POINTS, "method": "How it was computed"}
UNFOLDED = 10  # rare combinations that are shown before somebody asks for all
_DISTANCE = ("kid", "fid")
_SPREAD = ("precision", "recall", "density", "coverage")


Kind = Literal["look", "fine", ""]  # of a verdict; "" says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a table: a figure, its floor, and both on one scale."""

    title: str
    meaning: str
    found: str
    floor: str
    strip: Strip
    counts: str  # images that it is of
    kind: Kind
    verdict: str


def page(audit: Audit, copies: Sequence[Pair] = (), repeats: Sequence[Pair] = ()) -> str:
    """The HTML of an audit; `copies` and `repeats` are pictures of its suspects."""
    environment = Environment(
        loader=PackageLoader("builder.audit", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "src": src,
        "number": number,
        "interval": interval,
        "percent": percent,
        "plainly": plainly,
        "counted": count,
        "title_of": title_of,
    }
    text = environment.get_template("page.html").render(
        audit=audit,
        findings=findings(audit),
        sections=SECTIONS,
        scope=_scope(audit),
        quality=_quality(audit),
        labels=_labels(audit),
        origin=_told(audit, "origin"),
        sources=_told(audit, "sources"),
        nearness=_nearness(audit),
        copies=copies,
        repeats=repeats,
        unfolded=UNFOLDED,
        is_found=is_found,
        claimed=f"{100 * CLAIMED:.0f} %",
    )
    return f"{text.strip()}\n"


def _scope(audit: Audit) -> dict[str, str]:
    """How much was looked at, in numbers."""
    found: dict[str, str] = {}
    if audit.copies:
        found["synthetic images"] = f"{audit.copies.synthetic:,}"
        found["real training images"] = f"{audit.copies.train:,}"
        found["held-out real images"] = f"{audit.copies.held_out:,}"
    return {**found, "seed": str(audit.seed)}


def _quality(audit: Audit) -> dict[str, list[Row]]:
    """The figures of each of the first three points."""
    found: dict[str, list[Row]] = {"distance": [], "spread": [], "sameness": []}
    for figure in audit.quality.figures if audit.quality else ():
        spread = "spread" if figure.name in _SPREAD else "sameness"
        place = "distance" if figure.name in _DISTANCE else spread
        found[place].append(
            _row(
                title_of(figure.name),
                meaning_of(figure.name),
                (figure.found, figure.floor),
                f"{figure.synthetic:,} synthetic, {figure.real:,} real of "
                f"{count(figure.patients, 'patient')}",
                _differs(figure),
            )
        )
    return found


def _differs(found: Figure) -> tuple[Kind, str]:
    if found.differs:
        return "look", "differs beyond chance"
    return ("fine", "as real images") if found.floor else ("", "cannot tell")


def _labels(audit: Audit) -> list[Row]:
    return [
        _row(
            each.target,
            _follows(each),
            (each.synthetic, each.real),
            f"{each.positives:,} with it and {each.negatives:,} without; real "
            f"{each.real_positives:,} and {each.real_negatives:,}",
            _agreed(each),
            reference=0.5,
        )
        for each in audit.agreement
    ]


def _follows(found: Agreement) -> str:
    """Why nothing follows from what is found in the synthetic images; "" where something does."""
    if found.tells:
        return ""
    if found.real is None:
        return "There are too few real images with it: nothing follows."
    return "It is hardly found in real images either: nothing follows."


def _agreed(found: Agreement) -> tuple[Kind, str]:
    if found.disagrees:
        return "look", "finds less than labels say"
    return ("fine", "as on real images") if found.tells else ("", "cannot tell")


def _told(audit: Audit, what: str) -> list[Row]:
    """Real against synthetic images, or one source of real images against another."""
    shortcuts = audit.shortcuts
    found = () if shortcuts is None else getattr(shortcuts, what)
    least = audit.settings.get("told", 1.0)
    return [
        _row(
            f"{kind_of(each.kinds[0])} against {kind_of(each.kinds[1])}, "
            f"{TREATMENTS.get(each.treatment, f'both {each.treatment}')}",
            "",
            (each.auc, each.floor),
            f"{each.n[0]:,} and {each.n[1]:,}",
            ("look", "told apart") if told_apart(each, least) else ("fine", "hardly told apart"),
            reference=0.5,
        )
        for each in found
    ]


def _nearness(audit: Audit) -> list[Row]:
    if audit.nearness is None:
        return []
    found = audit.nearness
    return [
        _row(
            "share of the synthetic images",
            "",
            (found.share, None),
            f"{found.synthetic:,} synthetic, {found.real:,} real on each side",
            ("look", "more than half") if found.share.low > 0.5 else ("fine", "about half or less"),
            reference=0.5,
        )
    ]


def _row(
    title: str,
    meaning: str,
    figures: tuple[Interval, Interval | None],
    counts: str,
    verdict: tuple[Kind, str],
    reference: float | None = None,
) -> Row:
    """A line of a table; `reference` is a value that chance would give."""
    found, floor = figures
    return Row(
        title=title,
        meaning=meaning,
        found=interval(found),
        floor=interval(floor),
        strip=strip(found, floor, reference),
        counts=counts,
        kind=verdict[0],
        verdict=verdict[1],
    )
