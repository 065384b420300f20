from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from builder.contract.texts import Texts

WORDS = ["one", "two", "", "three", "Ümlaut"]


@pytest.fixture(params=["array", "chunks", "part"])
def texts(request: pytest.FixtureRequest) -> Texts:
    columns = {
        "array": pa.array(WORDS),
        "chunks": pa.chunked_array([WORDS[:2], [], WORDS[2:]], pa.string()),
        "part": pa.array(["zero", *WORDS, "six"]).slice(1, 5),
    }
    return Texts(columns[request.param])


@pytest.mark.parametrize(
    "rows",
    [
        slice(None), slice(1, 3), slice(-2, None), slice(3, 1), slice(None, None, 2),
        slice(None, None, -1), np.array([4, 0, 0, -1]), np.array([], int), [1, 2],
        np.array([True, False, False, True, True]),
    ],
)  # fmt: skip
def test_rows_are_those_of_an_array_of_str(texts: Texts, rows: Any) -> None:
    expected = np.array(WORDS, object)[rows]
    assert texts[rows].dtype == object
    assert texts[rows].tolist() == expected.tolist()


def test_single_rows_and_all_of_them(texts: Texts) -> None:
    assert (len(texts), texts[1], texts[np.int64(4)], texts[-1]) == (5, "two", "Ümlaut", "Ümlaut")
    assert [*texts] == texts.tolist() == WORDS
    assert np.asarray(texts).tolist() == WORDS
    assert np.concatenate([texts, texts]).tolist() == WORDS * 2
    assert (texts == "two").tolist() == [False, True, False, False, False]
    assert (texts == texts).all()
    assert np.isin(texts, ["three"]).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("rows", [5, -6])
def test_a_row_that_is_not_there(texts: Texts, rows: int) -> None:
    with pytest.raises(IndexError):
        texts[rows]
    with pytest.raises((IndexError, pa.ArrowIndexError)):
        texts[np.array([rows])]


def test_a_mask_of_another_length(texts: Texts) -> None:
    with pytest.raises(IndexError, match="a mask of 2 for 5 texts"):
        texts[np.array([True, False])]


def test_texts_that_come_twice_or_do_not_match() -> None:
    assert Texts(pa.array(WORDS)).are_distinct()
    assert not Texts(pa.array([*WORDS, "two"])).are_distinct()
    keys = Texts(pa.array(["a-1", "b_2", "c\n", "d d"]))
    assert keys.first_unlike("[a-z0-9_-]{1,90}") == "c\n"
    assert keys.first_unlike("(?s).*") is None
    assert Texts(pa.array([], pa.string())).first_unlike("a") is None


def test_they_take_the_bytes_of_their_letters_and_eight_more() -> None:
    column = pa.array([f"synthetic-mass-{i:07d}" for i in range(10_000)])
    assert Texts(column)._column.nbytes <= 10_000 * (22 + 8) + 64
