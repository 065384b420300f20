from collections.abc import Sequence
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch

from builder.contract import UsageError
from trainer.predict.table import check_suffix, open_table


def write(out: Path, names: Sequence[str], *, fail: bool = False) -> None:
    with open_table(out, ("image",), names) as rows:
        rows.add({"image": ["a.png", 'b, "c".png']}, torch.tensor([[0.25, 1.0], [0.5, 0.0]]))
        rows.add({"image": ["d.png"]}, torch.tensor([[0.125, 0.75]]))
        if fail:
            raise OSError


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_come_back_as_they_were_added(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "new" / f"out{suffix}"
    write(out, ("Mass", "Odd, (comma)"))
    found = pq.read_table(out) if suffix == ".parquet" else pyarrow.csv.read_csv(out)
    assert found.column_names == ["image", "Mass", "Odd, (comma)"]
    assert found["image"].to_pylist() == ["a.png", 'b, "c".png', "d.png"]
    assert found["Mass"].to_pylist() == [0.25, 0.5, 0.125]
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("earlier")
    with pytest.raises(OSError, match=r"^$"):
        write(out, ("Mass", "Edema"), fail=True)
    assert out.read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_another_suffix_is_refused() -> None:
    with pytest.raises(UsageError, match=r"should end in \.csv or \.parquet"):
        check_suffix(Path("out.xlsx"))


def test_a_link_at_a_temporary_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    (tmp_path / ".s.csv.tmp").symlink_to(tmp_path / "outside")
    write(tmp_path / "s.csv", ("Mass", "Edema"))
    assert (tmp_path / "outside").read_text() == "mine"


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".s.csv.12-0a.tmp").write_text("half")
    write(tmp_path / "s.csv", ("Mass", "Edema"))
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]


def test_a_files_name_is_no_formula_for_a_spreadsheet(tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet"):
        with open_table(tmp_path / f"out{suffix}", ("image",), ("Mass",)) as rows:
            rows.add({"image": ["=1+1.png", "a.png"]}, torch.tensor([[0.25], [0.5]]))
    found = pyarrow.csv.read_csv(tmp_path / "out.csv")["image"].to_pylist()
    assert found == ["'=1+1.png", "a.png"]
    found = pq.read_table(tmp_path / "out.parquet")["image"].to_pylist()
    assert found == ["=1+1.png", "a.png"]
