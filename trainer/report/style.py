"""Colours and markers that every picture shares."""

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.colors import to_hex, to_rgb

from trainer.recipe import ArmName
from trainer.report.results import DatasetResult, Verdict

COLOURS = ("#d1495b", "#00798c", "#c98a1b", "#4f8a5b", "#8d5a97", "#2e4057", "#6e5844")
GREY = "#9aa3ab"
INK, QUIET = "#1d252c", "#56616b"
VERDICTS: Mapping[Verdict, tuple[str, str]] = {  # colour and marker; no arm has these colours
    "helped": ("#0b5cad", ">"),
    "no evidence": (QUIET, "o"),
    "hurt": ("#a8430d", "<"),
    "better": ("#0b5cad", ">"),  # as helped, but against another control than the real images alone
    "worse": ("#a8430d", "<"),
    "one seed": ("#6b6200", "D"),
    "no verdict": ("#666b70", "X"),
}
Dashes = str | tuple[float, tuple[float, ...]]  # as matplotlib takes them

STYLES: Mapping[ArmName, tuple[str, str, Dashes]] = {  # colour, marker, dashes; in every figure
    "none": (COLOURS[5], "o", "-"),
    "flip": (COLOURS[2], "D", (0, (5, 1.5))),
    "gan": (COLOURS[0], "s", "-"),
    "oversample": (COLOURS[1], "^", (0, (3, 1.2))),
    "pretrain": (COLOURS[4], "v", (0, (5, 1.2, 1.2, 1.2))),
    "classweight": (COLOURS[3], "P", (0, (1.2, 1.2))),
    "radiograph": (COLOURS[6], "h", (0, (6, 1.2, 1.2, 1.2, 1.2, 1.2))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How an arm is drawn."""

    colour: str
    marker: str
    dashes: Dashes
    face: str  # of its marker


def styles(dataset: DatasetResult) -> dict[str, Style]:
    """The style of each arm by its title; an unusual one (`gan, flip`) is paler and hollow."""
    found: dict[str, Style] = {}
    unusual: list[str] = []
    for arm in dataset.arms:
        colour, marker, dashes = STYLES[arm.name]
        if arm.title != arm.name:
            unusual.append(arm.name)
        pale = 1 - 0.6 ** unusual.count(arm.name)
        red, green, blue = (part + (1 - part) * pale for part in to_rgb(colour))
        tone = to_hex((red, green, blue))
        found[arm.title] = Style(
            colour=tone, marker=marker, dashes=dashes, face="white" if pale else tone
        )
    return found
