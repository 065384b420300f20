import pandas as pd

from builder.labels.splits import split_words


def test_every_word_for_a_part_is_known() -> None:
    cells = [
        "train",
        "TRAINING",
        "valid",
        "Validate",
        "validation",
        "val",
        "dev",
        " test ",
        "fold 1",
    ]
    words = split_words(pd.Series([*cells, None], dtype="str")).tolist()
    assert words == ["train", "train", *["val"] * 5, "test", "", ""]
