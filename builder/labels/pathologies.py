"""Names of pathologies: which spellings mean the same."""

from collections.abc import Sequence

NO_FINDING = "no finding"

_SYNONYMS = {
    "effusion": "pleural effusion",
    "fractures": "fracture",
    "infiltrates": "infiltration",
    "normal": NO_FINDING,
    "pulmonary edema": "edema",
    "pulmonary fibrosis": "fibrosis",
}


def canonical(name: str) -> str:
    """The one spelling shared by all names of a pathology, CheXpert's and NIH's among them.

    Lower case, with single spaces for underscores: "Pleural_Thickening" → "pleural thickening".
    """
    plain = " ".join(name.lower().replace("_", " ").split())
    return _SYNONYMS.get(plain, plain)


def find_pathology(name: str, pathologies: Sequence[str]) -> str | None:
    """The member of `pathologies` that `name` means, synonyms included; None if there is none."""
    return next((p for p in pathologies if canonical(p) == canonical(name)), None)
