"""The licences that a release may name: ids of the Hugging Face Hub with their SPDX ids and texts.

The Hub checks nothing, so a mistyped licence would be published as it stands.
"""

from dataclasses import dataclass

from builder.contract import UsageError, printable

OTHER = "other"  # a licence of the publisher's own: its name and text are given


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """A licence as the card, Croissant and LICENSE.md name it."""

    id: str  # of the Hub
    name: str
    url: str  # of its text; "" for a licence of the publisher's own


_CC = {  # Creative Commons 4.0
    "CC-BY": "Attribution",
    "CC-BY-SA": "Attribution-ShareAlike",
    "CC-BY-NC": "Attribution-NonCommercial",
    "CC-BY-ND": "Attribution-NoDerivatives",
    "CC-BY-NC-SA": "Attribution-NonCommercial-ShareAlike",
    "CC-BY-NC-ND": "Attribution-NonCommercial-NoDerivatives",
}
_OTHERS = {  # SPDX id → name
    "Apache-2.0": "Apache License 2.0",
    "MIT": "MIT License",
    "BSD-2-Clause": "BSD 2-Clause License",
    "BSD-3-Clause": "BSD 3-Clause License",
    "GPL-3.0": "GNU General Public License 3.0",
    "CC0-1.0": "Creative Commons Zero 1.0",
    "ODbL": "Open Database License 1.0",
    "ODC-By": "Open Data Commons Attribution License 1.0",
    "PDDL": "Open Data Commons Public Domain Dedication and License 1.0",
    "CDLA-Permissive-1.0": "Community Data License Agreement Permissive 1.0",
    "CDLA-Permissive-2.0": "Community Data License Agreement Permissive 2.0",
    "CDLA-Sharing-1.0": "Community Data License Agreement Sharing 1.0",
}
_SPDX = {  # where the Hub's id is not SPDX's in small letters
    "ODbL": "ODbL-1.0",
    "ODC-By": "ODC-By-1.0",
    "PDDL": "PDDL-1.0",
    "GPL-3.0": "GPL-3.0-only",
}


def _known() -> dict[str, Licence]:
    """The licence of each spelling, in small letters: the Hub's and SPDX's."""
    found = {}
    for spdx, kind in _CC.items():
        path = spdx.removeprefix("CC-").lower()
        licence = Licence(
            id=f"{spdx}-4.0".lower(),
            name=f"Creative Commons {kind} 4.0",
            url=f"https://creativecommons.org/licenses/{path}/4.0/",
        )
        found[licence.id] = licence
    for name, title in _OTHERS.items():
        spdx = _SPDX.get(name, name)
        licence = Licence(id=name.lower(), name=title, url=f"https://spdx.org/licenses/{spdx}.html")
        found |= {name.lower(): licence, spdx.lower(): licence}
    return found


LICENCES = _known()


def find_licence(word: str) -> Licence:
    """The licence of that Hub or SPDX id, whatever its case; UsageError lists those there are."""
    if (licence := LICENCES.get(word.strip().lower())) is None:
        known = ", ".join(sorted({each.id for each in LICENCES.values()}))
        raise UsageError(
            f"The licence {printable(repr(word))} is unknown: give one of {known}; or give "
            f"`{OTHER}` with its name (--license-name) and its text (--license-file)."
        )
    return licence
