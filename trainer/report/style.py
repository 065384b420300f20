"""Colours and markers that every picture shares."""

from dataclasses import dataclass
from typing import Any

from matplotlib.colors import to_hex, to_rgb

COLOURS = ("#d1495b", "#00798c", "#c98a1b", "#4f8a5b", "#8d5a97", "#2e4057")
GREY = "#9aa3ab"
INK, QUIET = "#1d252c", "#56616b"
VERDICTS = {  # colour and marker; no arm has these colours, for a verdict is not an arm
    "helped": ("#0b5cad", ">"),
    "no evidence": (QUIET, "o"),
    "hurt": ("#a8430d", "<"),
    "better": ("#0b5cad", ">"),  # as helped, but against another control than no augmentation
    "worse": ("#a8430d", "<"),
    "one seed": ("#6b6200", "D"),
}
ARMS = {  # colour, marker and dashes: an arm looks the same in every figure
    "none": (COLOURS[5], "o", "-"),
    "flip": (COLOURS[2], "D", (0, (5, 1.5))),
    "gan": (COLOURS[0], "s", "-"),
    "oversample": (COLOURS[1], "^", (0, (3, 1.2))),
    "pretrain": (COLOURS[4], "v", (0, (5, 1.2, 1.2, 1.2))),
    "classweight": (COLOURS[3], "P", (0, (1.2, 1.2))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How an arm is drawn."""

    colour: str
    marker: str
    dashes: Any
    face: str  # of its marker


def looks(dataset: dict[str, Any]) -> dict[str, Look]:
    """Each arm's look by its title; what is unusual (`gan, flip`) is paler and hollow."""
    found: dict[str, Look] = {}
    unusual: list[str] = []
    for arm in dataset["arms"]:
        colour, marker, dashes = ARMS[arm["name"]]
        if arm["title"] != arm["name"]:
            unusual.append(arm["name"])
        pale = 1 - 0.6 ** unusual.count(arm["name"])
        red, green, blue = (part + (1 - part) * pale for part in to_rgb(colour))
        tone = to_hex((red, green, blue))
        found[arm["title"]] = Look(
            colour=tone, marker=marker, dashes=dashes, face="white" if pale else tone
        )
    return found
