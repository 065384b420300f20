"""What the labels alone decide: the plan or why there is none, and where images are looked for."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.blueprint import prepare, with_images
from builder.contract import UsageError
from builder.recipe import RealRequest, Request


def rewrite(table: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    with table.open(newline="") as file:
        rows = [change(row) for row in csv.DictReader(file)]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_target_that_no_training_image_has_is_told_where_it_is(clinic: Path) -> None:
    request = Request(
        dataset="table",
        labels=clinic,
        targets=("Mass",),
        holdout=("0.1", "0.1"),
        uncertain="mask",
    )
    split = prepare(request).cohort.split
    with clinic.open(newline="") as file:
        patients = [row["patient"] for row in csv.DictReader(file)]
    held = {patients[row] for row in split.val}
    rewrite(clinic, lambda row: {**row, "Mass": "1" if row["patient"] in held else "-1"})
    with pytest.raises(UsageError, match="Mass has no positive among the") as caught:
        prepare(request)
    assert f"{len(split.val)} are in val and 0 in test, choose another --seed" in str(caught.value)
    assert f"{len(split.train)} are unknown, --uncertain ones makes" in str(caught.value)
    assert prepare(replace(request, uncertain="ones")).plan


def test_a_copy_check_is_told_how_many_images_are_in_val(clinic: Path) -> None:
    request = Request(dataset="table", labels=clinic, targets=("Mass",), holdout=("0.1", "0.1"))
    val = len(prepare(request).cohort.split.val)
    with pytest.raises(UsageError, match=rf"needs 100 held-out images .* and val has {val}: use"):
        prepare(replace(request, checks=("copy",)))
    enough = prepare(replace(request, checks=("copy:0.9", "duplicate")))
    assert [check.identity for check in enough.checks] == ["constant", "copy:0.9"]


def test_only_what_needs_chexperts_images_looks_for_them(tmp_path: Path) -> None:
    root = tmp_path / "CheXpert-v1.0-small"
    request = Request(dataset="chexpert")
    for asked in (
        replace(request, real="none"),
        replace(request, root=tmp_path),
        Request(dataset="nih"),
        RealRequest(dataset="demo"),
    ):
        assert with_images(asked, tmp_path) == asked
    with pytest.raises(UsageError, match=r"No CheXpert images were found.*--real none"):
        with_images(request, tmp_path)
    with pytest.raises(UsageError, match="--dataset demo, which needs no images") as caught:
        with_images(RealRequest(dataset="chexpert"), tmp_path)
    assert "--real none" not in str(caught.value)
    (root / "train" / "patient00001").mkdir(parents=True)
    assert with_images(request, tmp_path).root in (root, tmp_path)
    assert with_images(request, root).root == root
