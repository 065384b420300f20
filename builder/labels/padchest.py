"""PadChest: its label table, whose findings are words, and its images matched by name."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from builder.contract import Labels, UsageError, printable
from builder.labels.cells import cell_message, numbers, refuse_cells
from builder.labels.demographics import (
    MAX_AGE,
    SEXES,
    VIEWS,
    age_bands,
    group_words,
    view_notes,
)
from builder.labels.images import files_by_stem
from builder.labels.label_table import LabelTable, make_label_table
from builder.labels.published import About, keep_images, keep_rows, main_table, refuse_official
from builder.labels.source import Source
from builder.labels.tables import read_csv

_TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"

# Each pathology and PadChest's words for it, with the kinds of it that PadChest's tree of findings
# has. The pathologies are torchxrayvision's, and Support Devices includes its "Tube'".
_WORDS = {
    "No Finding": ("normal",),  # only where no other finding stands beside it
    "Air Trapping": ("air trapping",),
    "Aortic Atheromatosis": ("aortic atheromatosis",),
    "Aortic Elongation": (
        *("aortic elongation", "ascendent aortic elongation", "descendent aortic elongation"),
        *("supra aortic elongation", "aortic button enlargement"),
    ),
    "Atelectasis": (
        *("atelectasis", "atelectasis basal", "laminar atelectasis", "lobar atelectasis"),
        *("round atelectasis", "segmental atelectasis", "total atelectasis"),
    ),
    "Bronchiectasis": ("bronchiectasis",),
    "Cardiomegaly": ("cardiomegaly",),
    "Consolidation": ("consolidation", "air bronchogram"),
    "Costophrenic Angle Blunting": ("costophrenic angle blunting",),
    "Edema": ("pulmonary edema",),
    "Emphysema": ("emphysema",),  # not the subcutaneous one
    "Fibrosis": ("pulmonary fibrosis", "asbestosis signs", "post radiotherapy changes"),
    "Flattened Diaphragm": ("flattened diaphragm",),
    "Fracture": (
        *("fracture", "clavicle fracture", "humeral fracture", "vertebral fracture"),
        *("rib fracture", "callus rib fracture"),
    ),
    "Granuloma": ("granuloma", "calcified granuloma"),
    "Hemidiaphragm Elevation": ("hemidiaphragm elevation",),
    "Hernia": ("hiatal hernia",),
    "Hilar Enlargement": (
        *("hilar enlargement", "vascular hilar enlargement", "pulmonary artery enlargement"),
        *("adenopathy", "calcified adenopathy"),
    ),
    "Infiltration": (
        *("infiltrates", "alveolar pattern", "consolidation", "air bronchogram"),
        *("interstitial pattern", "ground glass pattern", "reticular interstitial pattern"),
        *("reticulonodular interstitial pattern", "miliary opacities"),
    ),
    "Mass": (
        *("mass", "pulmonary mass", "mediastinal mass", "pleural mass", "breast mass"),
        "soft tissue mass",
    ),
    "Nodule": ("nodule", "multiple nodules"),  # not the pseudonodule
    "Pleural Effusion": (
        *("pleural effusion", "loculated pleural effusion", "loculated fissural effusion"),
        *("hydropneumothorax", "empyema", "hemothorax"),
    ),
    "Pleural Thickening": (
        *("pleural thickening", "apical pleural thickening", "calcified pleural thickening"),
    ),
    "Pneumonia": ("pneumonia", "atypical pneumonia"),
    "Pneumothorax": ("pneumothorax", "hydropneumothorax"),
    "Scoliosis": ("scoliosis",),
    "Support Devices": (
        *("electrical device", "dual chamber device", "single chamber device", "pacemaker", "dai"),
        *("catheter", "central venous catheter", "central venous catheter via jugular vein"),
        *("central venous catheter via subclavian vein", "reservoir central venous catheter"),
        *("central venous catheter via umbilical vein", "NSG tube", "chest drain tube"),
        *("endotracheal tube", "gastrostomy tube", "nephrostomy tube", "tracheostomy tube"),
        *("ventriculoperitoneal drain tube", "double J stent", "artificial heart valve"),
        *("artificial aortic heart valve", "artificial mitral heart valve"),
    ),
    "Tuberculosis": ("tuberculosis", "tuberculosis sequelae"),
}
PADCHEST = tuple(_WORDS)
_BITS = "BitsStored_DICOM"
_OPTIONAL = ("PatientSex_DICOM", "PatientBirth", "StudyDate_DICOM", _BITS)
_COLUMNS = {  # of each word that becomes a pathology
    word: tuple(i for i, words in enumerate(_WORDS.values()) if word in words)
    for word in {word for words in _WORDS.values() for word in words}
}
_SAYS_NOTHING = {"", "exclude", "suboptimal study", "unchanged"}  # about what the image shows
_OTHER = """
COPD signs, Chilaiditi sign, abnormal foreign body, abscess, air fluid level, aortic aneurysm,
aortic endoprosthesis, axial hyperostosis, azygoesophageal recess shift, azygos lobe,
blastic bone lesion, bone cement, bone metastasis, bronchovascular markings, bullas,
calcified densities, calcified fibroadenoma, calcified mediastinal adenopathy,
calcified pleural plaques, cavitation, central vascular redistribution, cervical rib,
chronic changes, costochondral junction hypertrophy, cyst, dextrocardia, diaphragmatic eventration,
end on vessel, endoprosthesis, esophagic dilatation, external foreign body, fibrotic band,
fissure thickening, goiter, gynecomastia, heart insufficiency, heart valve calcified,
hilar congestion, humeral prosthesis, hyperinflated lung, hypoexpansion, hypoexpansion basal,
increased density, kerley lines, kyphosis, lepidic adenocarcinoma, lipomatosis, lung metastasis,
lung vascular paucity, lymphangitis carcinomatosa, lytic bone lesion, major fissure thickening,
mammary prosthesis, mastectomy, mediastinal enlargement, mediastinal shift, mediastinic lipomatosis,
metal, minor fissure thickening, nipple shadow, non axial articular degenerative changes, obesity,
osteopenia, osteoporosis, osteosynthesis material, pectum carinatum, pectum excavatum,
pericardial effusion, pleural plaques, pneumomediastinum, pneumoperitoneo, prosthesis, pseudonodule,
pulmonary artery hypertension, pulmonary hypertension, pulmonary venous hypertension,
 respiratory distress, right sided aortic arch, sclerotic bone lesion,
sternoclavicular junction hypertrophy, sternotomy, subacromial space narrowing,
subcutaneous emphysema, superior mediastinal enlargement, surgery, surgery breast, surgery heart,
surgery humeral, surgery lung, surgery neck, suture material, thoracic cage deformation,
tracheal shift, vascular redistribution, vertebral anterior compression, vertebral compression,
vertebral degenerative changes, volume loss
"""  # findings that become no pathology here
_KNOWN = {
    *_COLUMNS,
    *(word.strip() for word in _OTHER.split(",")),
    *_SAYS_NOTHING,
}
_LIST = re.compile(r"""\s*\[\s*(('[^']*'|"[^"]*")\s*(,\s*|(?=\])))*\]\s*""")
_WORD = re.compile(r"""'([^']*)'|"([^"]*)\"""")

ABOUT = About(
    title="PadChest",
    images=160_861,
    patients=67_625,
    labels=len(PADCHEST),
    table=(_TABLE,),
    shipped=f"{_TABLE}.gz",
    root="the PNG files, 0/ to 54/ or all in one folder",
)


def read_padchest(source: Source) -> LabelTable:
    """PadChest's table, or torchxrayvision's copy: the rows with findings, and with an image.

    The root holds the images under the table's names, in any subfolder; None for labels alone.
    Raises UsageError for a table that cannot be trusted, a word that is not PadChest's, or if the
    official split is wanted, which PadChest lacks.
    """
    refuse_official(source, ABOUT)
    path = main_table(source, ABOUT)
    names = ("ImageID", "PatientID", "Projection", "Labels")
    text = ("ImageID", "PatientID", "Labels")
    frame = read_csv(path, names, optional=_OPTIONAL, text=text, others=False)
    findings, known = _findings(frame["Labels"], path)
    known &= (frame["Projection"] != "EXCLUDE").to_numpy(dtype=np.bool_)
    rows = pd.DataFrame(
        {
            "image": frame["ImageID"],
            "patient": frame["PatientID"],
            "view": group_words(frame, VIEWS, "Projection"),
            "sex": group_words(frame, SEXES, "PatientSex_DICOM"),
            "age": age_bands(_years(frame)),
            "file": frame["ImageID"],
            "depth": _depths(frame, path),
        }
    )
    if source.root is not None:
        rows["file"] = files_by_stem(rows["image"], source.root, path)
    table = make_label_table(
        dataset="padchest",
        path=path,
        rows=rows,
        labels=pd.DataFrame(findings, columns=list(PADCHEST)),
        root=source.root,
        columns={"image": "ImageID", "patient": "PatientID"},
        notes=view_notes(frame[known], "Projection"),
    )
    silent = int((~known).sum())
    table = keep_rows(
        table,
        pd.Series(known),
        f"{silent:,} of {len(known):,} rows are left out: their labels are blank or only say "
        "exclude, unchanged or suboptimal study, or their projection is EXCLUDE.",
    )
    return table if source.root is None else keep_images(table)


def _depths(frame: pd.DataFrame, path: Path) -> pd.Series:
    """The bits of grey of each file, which hold no full range; 0 where the table does not say."""
    if _BITS not in frame:
        return pd.Series(0, index=frame.index)
    bits = numbers(frame[_BITS]).where(frame[_BITS].notna(), 0)
    why = "is no number of bits from 8 to 16"
    refuse_cells(~bits.isin((0, *range(8, 17))), path, _BITS, why, frame[_BITS])
    return bits.astype("int64")


def _years(frame: pd.DataFrame) -> pd.Series:
    """Years between birth and study; NaN where the table does not say, or cannot be right."""
    if not {"PatientBirth", "StudyDate_DICOM"} <= {*frame.columns}:
        return pd.Series(np.nan, index=frame.index)
    studied = frame["StudyDate_DICOM"].astype("string").str[:4]
    years = numbers(studied) - numbers(frame["PatientBirth"])
    return years.where(lambda age: age.between(0, MAX_AGE))


def _findings(cells: pd.Series, path: Path) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """0/1 [N, L] from cells such as "['nodule', ' mass']", and which rows say what is seen."""
    codes, distinct = pd.factorize(cells.fillna(""))
    known = np.zeros(len(distinct), dtype=np.bool_)
    positive: list[tuple[int, int]] = []  # list and pathology
    for i, cell in enumerate(distinct):
        try:
            words = _words(str(cell))
        except ValueError as error:
            row = int(np.argmax(codes == i))
            raise UsageError(cell_message(path, row, "Labels", str(error))) from None
        findings = words - _SAYS_NOTHING
        known[i] = bool(findings) and "exclude" not in words
        if len(findings) > 1:
            findings.discard("normal")
        positive += [(i, column) for word in findings for column in _COLUMNS.get(word, ())]
    matrix = np.zeros((len(distinct), len(PADCHEST)), dtype=np.int8)
    matrix[tuple(np.array(positive, dtype=np.int64).reshape(-1, 2).T)] = 1
    return matrix[codes], known[codes]


def _words(cell: str) -> set[str]:
    """The words of a list such as "['nodule', ' mass']"; ValueError, which says what is wrong."""
    if cell.strip().lower() in ("", "nan"):
        return set()
    if not _LIST.fullmatch(cell):
        raise ValueError(f"'{printable(cell)}' is not a list such as ['nodule', 'mass']")
    words = {(one or other).strip() for one, other in _WORD.findall(cell)}
    if unknown := sorted(words - _KNOWN):
        raise ValueError(f"'{printable(unknown[0])}' is not a finding of PadChest")
    return words
