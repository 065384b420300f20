"""PadChest's table as it ships, its words for findings, and its 16-bit images."""

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from builder.contract import UsageError
from builder.labels import read_labels
from builder.labels.padchest import PADCHEST
from builder.labels.tables import shipped_table

HEAD = "ImageID,ImageDir,StudyDate_DICOM,PatientID,PatientBirth,PatientSex_DICOM,Projection,Labels"
SILENT = {"", "exclude", "suboptimal study", "unchanged"}
LIKE_THE_WORD = {  # pathologies that are one word of PadChest's
    *("Air Trapping", "Aortic Atheromatosis", "Bronchiectasis", "Cardiomegaly", "Emphysema"),
    *("Costophrenic Angle Blunting", "Flattened Diaphragm", "Hemidiaphragm Elevation", "Scoliosis"),
}


@pytest.fixture(scope="module")
def shipped() -> pd.DataFrame:
    """The shipped table by pandas; column words: the set of each row's words."""
    name = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    table = pd.read_csv(shipped_table(name), dtype=str, keep_default_na=False).set_index("ImageID")
    words = {
        cell: frozenset() if cell == "nan" else frozenset(w.strip() for w in ast.literal_eval(cell))
        for cell in table["Labels"].unique()
    }
    return table.assign(words=table["Labels"].map(words))


def test_the_shipped_table_is_read_as_pandas_and_python_read_it(shipped: pd.DataFrame) -> None:
    table = read_labels("padchest")
    says = shipped["words"].map(lambda words: bool(words - SILENT) and "exclude" not in words)
    says &= shipped["Projection"] != "EXCLUDE"
    assert table.rows["image"].tolist() == shipped.index[says].tolist()
    kept = shipped[says]
    assert table.rows["patient"].tolist() == kept["PatientID"].tolist()
    views = kept["Projection"].map({"PA": "pa", "L": "lateral", "AP": "ap", "AP_horizontal": "ap"})
    assert table.rows["view"].tolist() == views.fillna("").tolist()
    assert table.rows["sex"].value_counts().to_dict() == {"male": 77_578, "female": 76_921, "": 21}
    labels = pd.DataFrame(table.labels, columns=table.pathologies, index=kept.index)
    for name in LIKE_THE_WORD:
        expected = kept["words"].map(lambda words, name=name: name.lower() in words)
        assert (labels[name] == expected).all(), name
    healthy = kept["words"].map(lambda words: words - SILENT == {"normal"})
    assert (labels["No Finding"] == healthy).all()
    assert not labels[healthy].drop(columns="No Finding").to_numpy().any()
    assert table.notes[-1].startswith("6,341 of 160,861 rows are left out: their labels are blank")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["nodule"], {"Nodule"}),
        (["pseudonodule"], set()),
        (["subcutaneous emphysema"], set()),
        (["hydropneumothorax"], {"Pneumothorax", "Pleural Effusion"}),
        (["air bronchogram"], {"Consolidation", "Infiltration"}),
        (["callus rib fracture", " calcified granuloma"], {"Fracture", "Granuloma"}),
        (["normal", " cardiomegaly"], {"Cardiomegaly"}),
        (["normal", "", " unchanged"], {"No Finding"}),
        (["dual chamber device"], {"Support Devices"}),
        (["COPD signs"], set()),
    ],
)
def test_words_become_pathologies(
    write_csv: Callable[[str], Path], words: list[str], found: set[str]
) -> None:
    path = write_csv(f'{HEAD}\na.png,0,20140915,1,1930.0,F,PA,"{words}"\n')
    table = read_labels("padchest", labels=path)
    assert {name for name, one in zip(PADCHEST, table.labels[0], strict=True) if one} == found


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("['cardiomegaly', 'pleural", "is not a list such as"),
        ("cardiomegaly", "is not a list such as"),
        ("['cardiomegaly' 'mass']", "is not a list such as"),
        ("['cardiomegalia']", "'cardiomegalia' is not a finding of PadChest"),
        ("__import__('os')", "is not a list such as"),
    ],
)
def test_a_damaged_cell_is_named(write_csv: Callable[[str], Path], cell: str, message: str) -> None:
    row = "20140915,1,1930.0,F,PA"
    path = write_csv(f"{HEAD}\na.png,0,{row},['mass']\nb.png,0,{row},\"{cell}\"\n")
    with pytest.raises(UsageError, match=rf"line 3, column 'Labels': .*{message}") as caught:
        read_labels("padchest", labels=path)
    assert "\n" not in str(caught.value)


def test_a_cell_of_several_lines_and_rows_without_a_finding(
    write_csv: Callable[[str], Path],
) -> None:
    row = "20140915,313572750430997347502932654319389875966,1990.0,M"
    path = write_csv(
        f"{HEAD},Report\n"
        f"a.png,0,{row},COSTAL,\"['mass', 'nodule']\",\"one\ntwo\"\n"
        f"b.png,0,{row},L,nan,\nc.png,0,{row},L,['unchanged'],\nd.png,0,{row},PA,[],\n"
    )
    table = read_labels("padchest", labels=path)
    assert table.rows[["image", "view", "sex", "age"]].to_numpy().tolist() == [
        ["a.png", "", "male", "20-40"]
    ]
    assert table.rows["patient"].tolist() == ["313572750430997347502932654319389875966"]
    assert table.notes[-1].startswith("3 of 4 rows are left out")


@pytest.mark.parametrize("numbered", [True, False], ids=["numbered folders", "one folder"])
def test_our_split_is_sealed(
    tmp_path: Path,
    shipped: pd.DataFrame,
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
    by_hash: Callable[[dict[str, str], str], dict[str, str]],
    numbered: bool,
) -> None:
    """Sixty rows of the real table, with 10 and 12 bits in 16-bit files as PadChest has them."""
    says = shipped["words"].map(lambda words: bool(words) and not words & SILENT)
    some = shipped[says].iloc[::2000].iloc[:60]
    assert set(some["BitsStored_DICOM"].astype(int)) == {10, 12}
    random = np.random.default_rng(1)
    for name, folder in some["ImageDir"].items():
        path = tmp_path / "images" / (folder if numbered else "") / str(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        most = 1 << int(some.loc[name, "BitsStored_DICOM"])
        Image.fromarray(random.integers(0, most, (64, 64), dtype=np.uint16)).save(path)
    expected = pd.DataFrame(
        {
            name: some["words"].map(lambda words, name=name: int(name.lower() in words))
            for name in LIKE_THE_WORD
        }
    )
    expected["patient"] = some["PatientID"]
    expected["split"] = expected.index.map(by_hash(some["PatientID"].to_dict(), "0.1"))
    years = some["StudyDate_DICOM"].str[:4].astype(int) - some["PatientBirth"].astype(float)
    expected["age"] = [["0-20", "20-40", "40-60", "60-80", "80-"][int(age // 20)] for age in years]
    words = ("--holdout", 0.1, 0.1)
    same(packed("padchest", *words, root=tmp_path / "images"), expected)


@pytest.mark.parametrize(("born", "band"), [("1904", "80-"), ("1837", ""), ("2015", "")])
def test_an_age_that_nobody_has_is_unknown(
    write_csv: Callable[[str], Path], born: str, band: str
) -> None:
    path = write_csv(f"{HEAD}\na.png,0,20140915,1,{born},F,PA,\"['normal']\"\n")
    assert read_labels("padchest", labels=path).rows["age"].tolist() == [band]


def test_padchest_has_no_official_split() -> None:
    with pytest.raises(UsageError, match="PadChest has no official split: use --split hash"):
        read_labels("padchest", official=True)
