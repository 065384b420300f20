"""Which real images: what is asked reaches the readers, and what they do not use is refused."""

import subprocess
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from builder.cli.real_options import _USED_BY, DATASETS, pattern, real_options
from builder.contract import UsageError
from builder.labels.datasets import READERS
from builder.labels.source import TableOptions

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def understood(*arguments: str, **variables: str) -> dict[str, Any]:
    """What a command with these options is called with."""
    found: dict[str, Any] = {}

    @click.command("plan")
    @real_options
    def command(**words: Any) -> None:
        found.update(words)

    CliRunner().invoke(command, arguments, env=variables, catch_exceptions=False)
    return found


def test_the_datasets_are_those_that_have_a_reader() -> None:
    assert {*DATASETS} == {*READERS}
    assert {*_USED_BY} == {field.name for field in fields(TableOptions)}
    assert {name for _, used_by in _USED_BY.values() for name in used_by} <= {*READERS}


def test_options_for_the_table_come_together() -> None:
    assert understood()["table"] == TableOptions()
    found = understood(
        *("--dataset", "table", "--image-column", "Path", "--patient-column", "PID"),
        *("--view-column", "Proj", "--split-column", "Fold", "--match", "stem"),
        *("--label-column", "Mass", "--label-column", "Lung Lesion", "--split", "official"),
    )
    assert found["split"] == "official"
    assert found["table"] == TableOptions(
        image_column="Path",
        patient_column="PID",
        view_column="Proj",
        split_column="Fold",
        label_columns=("Mass", "Lung Lesion"),
        match="stem",
    )
    found = understood("--dataset", "folder", "--patient-pattern", r"person(\d+)")
    assert found["table"].patient_pattern == r"person(\d+)"
    assert understood("--dataset", "vindr", "--readers", "any")["table"].readers == "any"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--readers", "any"], "--dataset chexpert does not use --readers, which is for --dataset"),
        (["--dataset", "nih", "--match", "stem"], "--dataset nih does not use --match"),
        (["--dataset", "mimic", "--split-column", "x"], "does not use --split-column"),
        (["--dataset", "folder", "--label-column", "x"], "does not use --label-column"),
        (["--dataset", "brax", "--patient-pattern", "(x)"], "for --dataset folder, table: remove"),
    ],
)
def test_an_option_that_the_dataset_does_not_use_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        understood(*words)


@pytest.mark.parametrize("words", [["--depth", "12"], ["--window", "full"]])
def test_the_demo_has_no_files_whose_greys_could_be_read(
    words: list[str], xbuild: Xbuild, tmp_path: Path
) -> None:
    done = xbuild("synth", "--dataset", "demo", *words, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert f"--dataset demo does not use {words[0]}" in done.stderr


def test_the_root_of_other_datasets_is_not_the_demos(tmp_path: Path) -> None:
    assert understood(XBUILD_ROOT=str(tmp_path))["root"] == tmp_path
    assert understood("--dataset", "demo", XBUILD_ROOT=str(tmp_path))["root"] is None
    assert understood("--dataset", "demo", "--root", str(tmp_path))["root"] == tmp_path


@pytest.mark.parametrize(
    ("text", "message"),
    [("person(", "is not a regular expression: missing"), (r"person\d+", "has no group")],
)
def test_a_pattern_without_a_patient_is_refused(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        pattern(text)
    assert pattern(r"person(\d+)") == r"person(\d+)"
