"""The uncertainty policy, the choice of views, and what no dataset's table may have."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import UsageError
from builder.labels import CHEXPERT, read_labels
from builder.labels.datasets import READERS

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def test_the_command_knows_every_dataset(xbuild: Xbuild) -> None:
    shown = xbuild("plan", "--help").stdout
    assert f"[{'|'.join(READERS)}]" in "".join(shown.split())


@pytest.mark.parametrize(("policy", "positives"), [("ones", 6176), ("zeros", 3523), ("mask", 3523)])
def test_uncertain_labels_follow_the_policy(policy: str, positives: int) -> None:
    table = read_labels("chexpert", uncertain=policy)
    column = table.labels[:, CHEXPERT.index("Pleural Other")]
    assert (column == 1).sum() == positives
    assert (column == -1).sum() == (2653 if policy == "mask" else 0)


def test_frontal_views_only() -> None:
    table = read_labels("chexpert", views="frontal")
    assert len(table) == 191_027
    assert set(table.rows["view"]) == {"frontal", "ap", "pa"}


def test_views_frontal_needs_a_frontal_view(write_csv: Callable[[str], Path]) -> None:
    path = write_csv("image,patient,view,Mass\na.png,1,,0\nb.png,1,LL,0\n")
    with pytest.raises(
        UsageError, match=r"leaves no row: 1 are lateral, and the view of 1 is unknown"
    ):
        read_labels("table", labels=path, views="frontal")


def test_views_frontal_tells_what_it_leaves_out(write_csv: Callable[[str], Path]) -> None:
    path = write_csv("image,patient,view,Mass\na,1,PA,0\nb,1,upside,0\nc,2,L,1\nd,3,,1\n")
    table = read_labels("table", labels=path, views="frontal")
    assert table.rows["image"].tolist() == ["a"]
    assert table.labels.tolist() == [[0]]
    note = "--views frontal leaves out 2 of 4 rows, because their view is unknown."
    assert table.notes[-1] == note
    assert note not in read_labels("table", labels=path).notes


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("Effusion,Pleural Effusion", "'Effusion' and 'Pleural Effusion' .* same pathology"),
        ("Mass,offset", "cannot be used"),
    ],
)
def test_names_that_cannot_be_columns_are_refused(
    write_csv: Callable[[str], Path], head: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_labels("table", labels=write_csv(f"image,patient,{head}\na,1,0,0\n"))
    assert "\n" not in str(caught.value)


def test_a_missing_image_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"image folder .* does not exist: check --root"):
        read_labels("nih", root=tmp_path / "absent")
