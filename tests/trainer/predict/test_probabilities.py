import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from builder.contract import CheckError, UsageError
from builder.contract.radiograph import Reading, read_radiograph
from builder.contract.weights import load_network, scale
from trainer.predict import Predicted, predict_files
from trainer.predict import table as table_module

CPU = torch.device("cpu")
NAMES = ("Mass", "Odd, (comma)")
ANSWERS: dict[str, Any] = {
    "reading": Reading(),
    "batch": 7,
    "workers": 2,
    "device": CPU,
    "skip_bad": False,
}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def probabilities(rows: list[dict[str, str]]) -> npt.NDArray[np.float64]:
    return np.array([[float(row[name]) for name in NAMES] for row in rows])


def test_a_folder_is_predicted_in_the_order_of_its_paths(folder: Path, weights: Path) -> None:
    out = folder.parent / "new" / "out.csv"
    found = predict_files(weights, [folder], out=out, **ANSWERS)
    rows = rows_of(out)
    assert found == Predicted(images=len(rows), skipped=())
    names = [row["image"] for row in rows]
    suffixes = (".png", ".jpg", ".jpeg")
    paths = (p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    assert names == sorted(path.relative_to(folder).as_posix() for path in paths)
    assert list(rows[0]) == ["image", *NAMES]
    model, _ = load_network(weights)
    for name, row in zip(names, probabilities(rows), strict=True):
        pixels = torch.from_numpy(read_radiograph(folder / name, 64, Reading()).copy())[None, None]
        with torch.inference_mode():
            expected = torch.sigmoid(model(scale(pixels)))[0]
        assert row == pytest.approx(expected.numpy(), abs=1e-5)
    assert np.ptp(probabilities(rows), axis=0).min() > 0.01  # or the test shows nothing
    assert os.listdir(out.parent) == ["out.csv"]  # noqa: PTH208 - hidden ones too


def test_files_come_as_given_and_parquet_holds_what_the_csv_holds(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(table_module, "AT_ONCE", 3)
    paths = [Path("z/3.png"), folder / "b" / "10.JPG", Path("a.jpeg"), Path("z/3.png")]
    for suffix, batch in ((".csv", 1), (".parquet", 3)):
        predict_files(weights, paths, out=folder / f"out{suffix}", **ANSWERS | {"batch": batch})
    table = pq.read_table(folder / "out.parquet")
    rows = rows_of(folder / "out.csv")
    assert table["image"].to_pylist() == [row["image"] for row in rows] == [*map(str, paths)]
    assert [str(kind) for kind in table.schema.types] == ["string", "float", "float"]
    columns = np.stack([table[name].to_numpy() for name in NAMES], axis=1)
    assert columns == pytest.approx(probabilities(rows), abs=1e-5)
    assert table.column_names == ["image", *NAMES]
    assert pq.ParquetFile(folder / "out.parquet").num_row_groups == 2


def test_threads_and_batches_change_nothing(folder: Path, weights: Path) -> None:
    def go(name: str, **options: Any) -> list[dict[str, str]]:
        predict_files(weights, [folder], out=folder / name, **ANSWERS | options)
        return rows_of(folder / name)

    one, many = go("1.csv", workers=1), go("2.csv", workers=8, batch=3)
    assert [row["image"] for row in one] == [row["image"] for row in many]
    assert probabilities(one) == pytest.approx(probabilities(many), abs=1e-5)


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_an_unreadable_image_is_named_and_nothing_is_written(
    folder: Path, weights: Path, name: str
) -> None:
    (folder / "z" / "5.png").write_text("no image")
    before = set(folder.rglob("*"))
    with pytest.raises(
        CheckError, match=r"^z/5\.png cannot be read \(neither PNG, JPEG, TIFF nor DICOM\): "
    ):
        predict_files(weights, [folder], out=folder / name, **ANSWERS)
    assert set(folder.rglob("*")) == before


def test_it_is_not_advised_to_leave_out_all_images(folder: Path, weights: Path) -> None:
    many = Path(weights).with_name("none")
    many.mkdir(exist_ok=True)
    for number in range(120):
        (many / f"{number}.png").write_text("no image")
    with pytest.raises(CheckError, match=r"no other of 60 images that were tried can be") as caught:
        predict_files(weights, [many], out=folder / "out.csv", **ANSWERS)
    assert "--skip-bad" not in str(caught.value)
    with pytest.raises(CheckError, match=r"0\.png cannot be read \(neither .*\)\.$"):
        predict_files(weights, [many / "0.png"], out=folder / "out.csv", **ANSWERS)


def test_a_rule_for_the_greys_holds_for_all_files(
    tmp_path: Path, weights: Path, draw: Callable[[Path, int], Path]
) -> None:
    grey = np.asarray(Image.open(draw(tmp_path / "8.png", 0)).convert("L"))
    deep = tmp_path / "12.png"
    Image.fromarray((grey.astype(np.uint32) * 4095 // 255).astype(np.uint16)).save(deep)
    with pytest.raises(CheckError, match="12-bit data\\? say --depth 12"):
        predict_files(weights, [deep], out=tmp_path / "out.csv", **ANSWERS)
    ask = ANSWERS | {"reading": Reading(depth=12)}
    predict_files(weights, [tmp_path / "8.png", deep], out=tmp_path / "out.csv", **ask)
    first, second = probabilities(rows_of(tmp_path / "out.csv"))
    assert second == pytest.approx(first, abs=0.02)


def test_an_unreadable_image_may_be_left_out(folder: Path, weights: Path) -> None:
    predict_files(weights, [folder], out=folder / "all.csv", **ANSWERS)
    bad = {"b.png": "", "z/5.png": "x"}
    for name, text in bad.items():
        (folder / name).write_text(text)
    found = predict_files(weights, [folder], out=folder / "out.csv", **ANSWERS | {"skip_bad": True})
    assert [(one.image, one.reason) for one in found.skipped] == [
        ("b.png", "the file is empty"),
        ("z/5.png", "neither PNG, JPEG, TIFF nor DICOM"),
    ]
    before, after = rows_of(folder / "all.csv"), rows_of(folder / "out.csv")
    kept = [row for row in before if row["image"] not in bad]
    assert [row["image"] for row in after] == [row["image"] for row in kept]
    assert probabilities(after) == pytest.approx(probabilities(kept), abs=1e-5)
    assert found.images == len(after)


def test_a_name_that_is_no_text_is_written_as_it_can_be(
    tmp_path: Path, weights: Path, draw: Callable[[Path, int], Path]
) -> None:
    os.rename(draw(tmp_path / "in" / "x.png", 0), os.fsencode(tmp_path / "in") + b"/\xff.png")  # noqa: PTH104 - Path takes no bytes
    predict_files(weights, [tmp_path / "in"], out=tmp_path / "out.csv", **ANSWERS)
    assert [row["image"] for row in rows_of(tmp_path / "out.csv")] == [r"\xff.png"]


def test_none_readable_is_an_error_even_then(tmp_path: Path, weights: Path) -> None:
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    with pytest.raises(CheckError, match=r"None of the 2 images .*1\.png: missing"):
        predict_files(weights, paths, out=tmp_path / "x.csv", **ANSWERS | {"skip_bad": True})
    assert not list(tmp_path.iterdir())


def test_an_earlier_table_stays_until_the_new_one_is_whole(folder: Path, weights: Path) -> None:
    out = folder / "out.csv"
    out.write_text("earlier")
    (folder / "z" / "9.png").write_text("no image")
    with pytest.raises(CheckError):
        predict_files(weights, [folder], out=out, **ANSWERS)
    assert out.read_text() == "earlier"


@pytest.mark.parametrize(
    ("paths", "out", "message"),
    [
        (["c.png"], "out.xlsx", r"--out .*out\.xlsx: the name should end in \.csv or \.parquet"),
        (["empty"], "out.csv", "empty holds no PNG, JPEG, TIFF or DICOM file"),
        (["c.png", "b"], "out.csv", "b is a folder among other paths"),
        ([], "out.csv", "no image to predict"),
    ],
)
def test_what_cannot_be_asked(
    folder: Path, weights: Path, paths: list[str], out: str, message: str
) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        predict_files(weights, [folder / path for path in paths], out=folder / out, **ANSWERS)


def test_weights_for_no_squares_are_refused(
    tmp_path: Path,
    answering: nn.Module,
    draw: Callable[[Path, int], Path],
    save_weights: Callable[..., Path],
) -> None:
    images, out = [draw(tmp_path / "x.png", 0)], tmp_path / "out.csv"
    with pytest.raises(UsageError, match="absent is missing"):
        predict_files(tmp_path / "absent", images, out=out, **ANSWERS)
    wide = save_weights(tmp_path / "wide", answering, NAMES, height=64, width=80)
    with pytest.raises(UsageError, match="64×80 pixels, and files are cut to squares"):
        predict_files(wide, images, out=out, **ANSWERS)
