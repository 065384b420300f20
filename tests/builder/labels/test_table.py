"""The user's own table: which columns it has, and where its images lie."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder.contract import UsageError
from builder.labels import LabelTable, read_labels

Groups = Callable[[LabelTable], list[list[str]]]


def test_every_other_column_is_a_label(clinic: Path) -> None:
    table = read_labels("table", labels=clinic, uncertain="mask")
    assert table.pathologies == ("Mass", "Edema", "Pleural_Thickening")
    assert table.labels.dtype == np.int8
    assert table.labels[:4, 1].tolist() == [0, 0, 1, -1]
    assert table.root == clinic.parent
    assert len(read_labels("table", labels=clinic, views="frontal")) == 48


def test_view_sex_and_age_are_no_labels(write_csv: Callable[[str], Path], groups: Groups) -> None:
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
    write_csv: Callable[[str], Path], groups: Groups
) -> None:
    cells = ("F,50", "woman,414", "1,-1", "O,old", " ,1950-03-01", ",90+", "m,0")
    rows = "".join(f"{i}.png,{i},{cell},0\n" for i, cell in enumerate(cells))
    path = write_csv("image,patient,sex,age,Mass\n" + rows)
    found = groups(read_labels("table", labels=path, root=path.parent))
    assert [sex for _, sex, _ in found] == ["female", "", "", "", "", "", "male"]
    assert [age for *_, age in found] == ["40-60", "", "", "", "", "", "0-20"]


def test_the_file_is_needed() -> None:
    with pytest.raises(UsageError, match="needs the CSV: add --labels"):
        read_labels("table")


BAD: dict[str, tuple[str, str]] = {
    "missing column": ("image,Mass\na.png,1\n", "no column 'patient'"),
    "no labels": ("image,patient\na.png,1\n", "no label column, only image, patient"),
    "path out of the folder": (
        "image,patient,Mass\n../a.png,1,0\n",
        "leads out of the image folder",
    ),
    "strange view": (
        "image,patient,view,Mass\na.png,1,upside,0\n",
        "column 'view': 'upside' is not a view",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused_in_one_sentence(
    write_csv: Callable[[str], Path], case: str
) -> None:
    text, message = BAD[case]
    with pytest.raises(UsageError, match=message) as caught:
        read_labels("table", labels=write_csv(text))
    assert "\n" not in str(caught.value)
