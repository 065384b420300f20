"""The user's own table: which columns it has, and where its images lie."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builder.contract import UsageError
from builder.labels import LabelTable, read_labels
from builder.labels.source import TableOptions

Write = Callable[[str], Path]
Groups = Callable[[LabelTable], list[list[str]]]


def test_every_other_column_is_a_label(clinic: Path) -> None:
    table = read_labels("table", labels=clinic, uncertain="mask")
    assert table.pathologies == ("Mass", "Edema", "Pleural_Thickening")
    assert table.labels.dtype == np.int8
    assert table.labels[:4, 1].tolist() == [0, 0, 1, -1]
    assert table.root == clinic.parent
    assert len(read_labels("table", labels=clinic, views="frontal")) == 48


def test_view_sex_and_age_are_no_labels(write_csv: Write, groups: Groups) -> None:
    ages = ("0", "19.9", "20", "39", "40", "60", "79", "80", "110", "")
    sexes = ("F", "m", "female", " Male ", "", "f", "M", "FEMALE", "male", "")
    views = ("PA", "ap", "Frontal", "LL", "lat", "L", "lateral", "", "pa", "AP")
    cells = enumerate(zip(views, sexes, ages, strict=True))
    lines = (f"{i},{i},{v},{s},{a},0" for i, (v, s, a) in cells)
    path = write_csv("image,patient,view,sex,age,Mass\n" + "\n".join(lines))
    table = read_labels("table", labels=path)
    assert table.pathologies == ("Mass",)
    assert [age for *_, age in groups(table)] == [
        *("0-20", "0-20", "20-40", "20-40", "40-60", "60-80", "60-80", "80-", "80-", ""),
    ]
    assert [sex for _, sex, _ in groups(table)] == [
        *("female", "male", "female", "male", "", "female", "male", "female", "male", ""),
    ]
    assert [view for view, *_ in groups(table)] == [
        *("pa", "ap", "frontal", "lateral", "lateral", "lateral", "lateral", "", "pa", "ap"),
    ]
    assert len(read_labels("table", labels=path, views="frontal")) == 5


def test_a_strange_sex_or_age_is_unknown_and_stops_nothing(
    write_csv: Write, groups: Groups
) -> None:
    cells = ("F,50", "woman,414", "1,-1", "O,old", " ,1950-03-01", ",90+", "m,0")
    rows = "".join(f"{i}.png,{i},{cell},0\n" for i, cell in enumerate(cells))
    found = groups(read_labels("table", labels=write_csv("image,patient,sex,age,Mass\n" + rows)))
    assert [sex for _, sex, _ in found] == ["female", "", "", "", "", "", "male"]
    assert [age for *_, age in found] == ["40-60", "", "", "", "", "80-", "0-20"]


def test_a_strange_view_is_unknown_and_told(write_csv: Write, groups: Groups) -> None:
    path = write_csv("image,patient,view,Mass\na,1,upside,0\nb,2,PA,1\n")
    table = read_labels("table", labels=path)
    assert [view for view, *_ in groups(table)] == ["", "pa"]
    assert "No known view, so it counts as unknown: 'upside' (1 row)." in table.notes


FOREIGN = (
    "ID;Path;Projection;Set;Age;Gout;is_train;Mass\n"
    "1;a/x.png;PA;Train;60Y;1,0;1;0\n"
    "2;b\\y.png;LL;dev;;0;0;1\n"
    "3;z.png;;TEST;;-1;1;\n"
)
COLUMNS = TableOptions(
    image_column="path", patient_column=" id ", view_column="PROJECTION", split_column="set"
)


UNUSED_SET = (
    "The column 'set' is not used: patients are divided anew; --split official keeps its parts."
)


def test_options_name_the_columns_of_a_foreign_table(write_csv: Write) -> None:
    table = read_labels("table", labels=write_csv(FOREIGN), options=COLUMNS, uncertain="mask")
    assert table.rows["image"].tolist() == ["a/x.png", "b/y.png", "z.png"]
    assert table.rows["file"].tolist() == ["a/x.png", "b/y.png", "z.png"]
    assert table.rows["patient"].tolist() == ["1", "2", "3"]
    assert table.rows["view"].tolist() == ["pa", "lateral", ""]
    assert table.rows["split"].tolist() == ["train", "val", "test"]
    assert table.rows["age"].tolist() == ["60-80", "", ""]
    assert table.pathologies == ("Gout", "is_train", "Mass")
    assert table.notes == (
        "3 label columns: Gout, is_train, Mass (choose others by --label-column).",
        UNUSED_SET,
    )


def test_label_columns_are_taken_in_the_order_given(write_csv: Write) -> None:
    options = replace(COLUMNS, label_columns=("mass", "Gout"))
    path = write_csv(FOREIGN.replace("is_train", "comment").replace(";1;0", ";what;0"))
    table = read_labels("table", labels=path, options=options, uncertain="mask")
    assert table.pathologies == ("Mass", "Gout")
    assert table.labels.tolist() == [[0, 1], [1, 0], [0, -1]]
    assert table.notes == (UNUSED_SET,)


def test_many_labels_are_not_all_printed(write_csv: Write) -> None:
    names = [f"l{i}" for i in range(40)]
    path = write_csv(f"image,patient,{','.join(names)}\na,1{',0' * 40}\n")
    (note,) = read_labels("table", labels=path).notes
    assert note.startswith("40 label columns: l0, l1, ")
    assert "l29 and 10 more (" in note


def test_images_are_found_by_stem(tmp_path: Path, write_csv: Write) -> None:
    root = tmp_path / "root"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "x.jpg").write_bytes(b"")
    path = write_csv("image,patient,Mass\nx.png,1,0\nmissing.png,2,1\n")
    table = read_labels("table", labels=path, root=root, options=TableOptions(match="stem"))
    assert table.rows["image"].tolist() == ["x.png", "missing.png"]
    assert table.rows["file"].tolist() == ["deep/er/x.jpg", "missing.png"]


def test_one_file_by_two_stems_is_refused(tmp_path: Path, write_csv: Write) -> None:
    (tmp_path / "x.jpg").write_bytes(b"")
    path = write_csv("image,patient,Mass\na/x.png,1,0\nb/x.png,2,1\n")
    with pytest.raises(UsageError, match=r"line 3, .*'x\.jpg' appears twice, first in line 2"):
        read_labels("table", labels=path, root=tmp_path, options=TableOptions(match="stem"))


def test_a_root_without_any_image_is_told_before_a_build(tmp_path: Path, write_csv: Write) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = write_csv("image,patient,Mass\nx.png,1,0\n")
    with pytest.raises(UsageError, match=r"None of the 1 images of .*t\.csv lies under .*root"):
        read_labels("table", labels=path, root=root)
    assert len(read_labels("table", labels=path)) == 1


def test_the_patient_may_stand_in_the_path(write_csv: Write) -> None:
    path = write_csv("image,Mass\nward/p01_1.png,0\nward/p01_2.png,1\nx.png,0\n")
    table = read_labels("table", labels=path, options=TableOptions(patient_pattern=r"p(\d+)_"))
    assert table.rows["patient"].tolist() == ["01", "01", "x.png"]
    assert any("matches 2 of 3 images" in note for note in table.notes)


def test_the_split_is_read_where_it_is_wanted(write_csv: Write) -> None:
    path = write_csv("image,patient,split,Mass\na,1,fold 1,0\nb,2,train,0\nc,3,,1\n")
    table = read_labels("table", labels=path)
    assert table.rows["split"].tolist() == ["", "train", ""]
    assert table.notes[-1] == UNUSED_SET.replace("set", "split")
    good = write_csv("image,patient,split,Mass\na,1,train,0\nb,2,test,1\n")
    assert len(read_labels("table", labels=good, official=True).notes) == 1
    path = write_csv("image,patient,split,Mass\na,1,fold 1,0\nb,2,train,0\nc,3,,1\n")
    for options, official in ((TableOptions(), True), (TableOptions(split_column="split"), False)):
        with pytest.raises(UsageError, match=r"line 2, column 'split': 'fold 1' is no split"):
            read_labels("table", labels=path, options=options, official=official)


def test_the_file_is_needed() -> None:
    with pytest.raises(UsageError, match="needs the table: add --labels"):
        read_labels("table")


BAD: dict[str, tuple[str, TableOptions, str]] = {
    "no patient": (
        "image,Mass\na.png,1\n",
        TableOptions(),
        r"no column 'patient'; it has image, Mass: name one by --patient-column, or .*"
        r"--patient-pattern 'person\(\\d\+\)'",
    ),
    "no image": ("Path,patient\na.png,1\n", TableOptions(), "no column 'image'.*--image-column"),
    "no labels": (
        "image,patient\na.png,1\n",
        TableOptions(),
        "no label column, only image, patient",
    ),
    "path out of the folder": (
        "image,patient,Mass\n../a.png,1,0\n",
        TableOptions(),
        "line 2, column 'image': '../a.png' leads out of the image folder",
    ),
    "no such label": (
        "image,patient,Mass\na,1,0\n",
        TableOptions(label_columns=("Edema",)),
        "no column 'Edema'; it has image, patient, Mass",
    ),
    "no such view": (
        "image,patient,Mass\na,1,0\n",
        TableOptions(view_column="Projection"),
        "no column 'Projection'",
    ),
    "no such split": (
        "image,patient,Mass\na,1,0\n",
        TableOptions(split_column="Set"),
        "no column 'Set'",
    ),
    "one column twice": (
        "image,patient,Mass\na,1,0\n",
        TableOptions(image_column="Image", patient_column="image"),
        "two uses: 'image' is named by --image-column and --patient-column",
    ),
    "a label that is the image": (
        "image,patient,Mass\na,1,0\n",
        TableOptions(label_columns=("IMAGE",)),
        "two uses: 'IMAGE' is named by --image-column and --label-column",
    ),
    "a label twice": (
        "image,patient,Mass\na,1,0\n",
        TableOptions(label_columns=("Mass", "mass")),
        "two uses: 'mass' is named by --label-column",
    ),
    "pattern and column": (
        "image,patient,Mass\na,1,0\n",
        TableOptions(patient_pattern="a"),
        "The column 'patient' of .* and --patient-pattern both say the patient: leave out",
    ),
    "pattern and named column": (
        "image,who,Mass\na,1,0\n",
        TableOptions(patient_column="who", patient_pattern="a"),
        "The column 'who' of .* and --patient-pattern both say the patient: leave out",
    ),
    "pattern and missing column": (
        "image,Mass\na,1\n",
        TableOptions(patient_column="who", patient_pattern="a"),
        "The column 'who' of .* and --patient-pattern both say the patient: leave out",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused_in_one_sentence(write_csv: Write, case: str) -> None:
    text, options, message = BAD[case]
    with pytest.raises(UsageError, match=message) as caught:
        read_labels("table", labels=write_csv(text), options=options)
    assert "\n" not in str(caught.value)


def test_a_table_from_excel_is_sealed_cell_by_cell(
    tmp_path: Path,
    radiograph: Callable[[Path], Path],
    packed: Callable[..., pd.DataFrame],
    same: Callable[[pd.DataFrame, pd.DataFrame], None],
) -> None:
    """Windows-1252 with semicolons, decimal commas, backslashes and blank lines."""
    labels = {"Größe": [1, 0, -1, 0], "Mass": [0, 1, 0, 0]}
    lines, images = ["sep=;", "", " Image;PATIENT ;View;Split;Größe;Mass;"], []
    for i in range(40):
        images.append(f"ward {i % 3}/Müller, {i:02d}.png")
        radiograph(tmp_path / "root" / images[-1])
        cells = (
            ".\\" + images[-1].replace("/", "\\"),
            f"{i // 2:03d}",
            ("PA", "LL", "")[i % 3],
            "TEST" if i < 6 else "valid" if i < 12 else "Train",
            f"{labels['Größe'][i % 4]},0" if i % 4 else "1",
            str(labels["Mass"][i % 4] or ""),
        )
        lines.append(";".join(cells) + ";" * (i % 2))
    path = tmp_path / "t.csv"
    path.write_bytes("\r\n".join([*lines, "", ";;;;;"]).encode("cp1252"))
    sealed = packed("table", root=tmp_path / "root", labels=path, official=True)
    expected = pd.DataFrame({name: values * 10 for name, values in labels.items()}, index=images)
    expected["patient"] = [i // 2 for i in range(40)]
    expected["view"] = [("pa", "lateral", "")[i % 3] for i in range(40)]
    expected["split"] = ["test"] * 6 + ["val"] * 6 + ["train"] * 28
    same(sealed, expected)


@pytest.mark.parametrize(
    ("header", "dataset"),
    [
        ("Image Index,Finding Labels,Patient ID", "nih"),
        ("Path,Sex,Frontal/Lateral", "chexpert"),
        ("subject_id,study_id,Edema", "mimic"),
        ("image_id,rad_id,COPD", "vindr"),
    ],
)
def test_the_table_of_a_published_dataset_is_recognised(
    write_csv: Write, header: str, dataset: str
) -> None:
    path = write_csv(f"{header}\n1,1,1\n")
    words = f"no column 'image'; .*if the table is {dataset}'s own, use --dataset {dataset}; else"
    with pytest.raises(UsageError, match=words):
        read_labels("table", labels=path)
    with pytest.raises(UsageError, match="Mass: name the one that holds the images' paths"):
        read_labels("table", labels=write_csv("file,patient,Mass\na,1,1\n"))


def test_a_label_column_that_is_not_there_comes_with_advice(write_csv: Write) -> None:
    options = TableOptions(label_columns=("Edema",))
    with pytest.raises(UsageError, match=r"no column 'Edema'; it has .*that it has by --label-col"):
        read_labels("table", labels=write_csv("image,patient,Mass\na,1,1\n"), options=options)
