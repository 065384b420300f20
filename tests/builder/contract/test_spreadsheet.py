import pytest

from builder.contract.spreadsheet import as_text


@pytest.mark.parametrize(
    "cell", ["=1+1.png", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "-real", "=", "-"]
)
def test_what_would_be_computed_is_text(cell: str) -> None:
    assert as_text(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a.png", "a=1", "-1", "+0.5", "-1e-3", "'=1", "ü"])
def test_the_rest_stays_as_it_is(cell: str) -> None:
    assert as_text(cell) == cell
