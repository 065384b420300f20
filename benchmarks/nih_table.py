"""The table of the evidence on NIH: train and val with mined labels, test as radiologists read it.

    python benchmarks/nih_table.py FOLDER OUT.csv

FOLDER holds `labels.csv` (image, patient, view, sex, age, the findings, No_Finding) and
`expert_labels.csv` (image, patient, Abnormal, the same findings). Test is the images that experts
read, with their labels; No_Finding is what they did not call abnormal. All other images of these
patients are left out. One tenth of the other patients, drawn by a hash of their id, is val.
"""

import hashlib
import sys
from pathlib import Path

import pandas as pd

VAL = 0.1  # of the patients that no expert read


def main(folder: Path, out: Path) -> None:
    """Write the table and print the images and patients of each part."""
    mined = pd.read_csv(folder / "labels.csv", dtype={"patient": str}).set_index("image")
    experts = pd.read_csv(folder / "expert_labels.csv", dtype={"patient": str}).set_index("image")
    findings = [name for name in mined.columns if name in experts.columns and name != "patient"]
    test = mined.loc[experts.index].assign(split="test")
    test[findings] = experts[findings]
    test["No_Finding"] = 1 - experts["Abnormal"]
    others = mined[~mined["patient"].isin(experts["patient"])].copy()
    drawn = {patient: _drawn(patient) for patient in others["patient"].unique()}
    others["split"] = others["patient"].map(drawn)
    table = pd.concat([others, test]).sort_index()
    table.to_csv(out)
    counts = table.groupby("split")["patient"].agg(["size", "nunique"])
    print(counts.rename(columns={"size": "images", "nunique": "patients"}).to_string())


def _drawn(patient: str) -> str:
    digest = hashlib.sha256(f"nih evidence {patient}".encode()).digest()
    return "val" if int.from_bytes(digest[:8]) < VAL * 2**64 else "train"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
