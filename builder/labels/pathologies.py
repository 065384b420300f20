"""The names of pathologies: the lists of CheXpert and NIH, and the spellings that mean the same."""

from collections.abc import Sequence

NO_FINDING = "no finding"

CHEXPERT = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
NIH = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
    "No_Finding",
)

_SYNONYMS = {"effusion": "pleural effusion", "fractures": "fracture", "normal": NO_FINDING}


def canonical(name: str) -> str:
    """The one spelling under which CheXpert's, NIH's and other names of a pathology meet."""
    plain = " ".join(name.lower().replace("_", " ").split())
    return _SYNONYMS.get(plain, plain)


def find_pathology(name: str, pathologies: Sequence[str]) -> str | None:
    """The member of `pathologies` that `name` means, synonyms included; None if there is none."""
    return next((p for p in pathologies if canonical(p) == canonical(name)), None)
