import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from trainer.fit.history import Epoch
from trainer.report import RunReport, curves, load_report, markdown, table

HISTORY = tuple(
    Epoch(
        epoch=i,
        train_loss=1 / i,
        val_loss=0.2 + 1 / i,
        val_auc_mean=0.5 + i / 20,
        val_auc=(None, 0.5 + i / 20, 0.5 + i / 20, 0.6),
    )
    for i in range(1, 4)
)


@pytest.fixture
def report(run: Path) -> RunReport:
    """The report of a run, with a note; its targets come last."""
    return replace(load_report(run), notes=("All images are procedural phantoms.",))


@pytest.fixture
def names(report: RunReport) -> list[str]:
    return [row.pathology for row in report.pathologies]


def test_markdown_says_what_matters(report: RunReport) -> None:
    text = markdown(report)
    assert "# gan1, arm gan: test AUC per pathology" in text
    assert "> All images are procedural phantoms." in text
    row = "90 | 333 | 423 | 60 | 0.700 | 0.600 to 0.800 | 0.300 | 0.100 | 0.400 |"
    assert f"| **Lung Lesion** | {row}" in text
    assert f"| No Finding | {row}" in text
    assert f"```\n{report.command}\n```" in text
    assert "| lr | `0.001` |" in text
    assert "| generator | `phantom` |" in text
    assert "(curves.png)" in text
    assert "Weights: epoch 3 of 3 (highest mean validation AUC, 0.700)" in text


def test_without_test_images_there_are_dashes(report: RunReport) -> None:
    rows = tuple(replace(row, test=None) for row in report.pathologies)
    text = markdown(replace(report, pathologies=rows))
    assert "| 423 | – | – | – | – | – | – |\n" in text


def test_a_figure_that_is_missing_is_a_dash(report: RunReport) -> None:
    first, *rest = report.pathologies
    assert first.test
    first = replace(first, test=replace(first.test, auc=None, low=None, high=None))
    text = markdown(replace(report, pathologies=(first, *rest)))
    assert "| 60 | – | – | 0.300 |" in text


def test_without_validation_auc_the_loss_chose(report: RunReport, names: list[str]) -> None:
    history = tuple(replace(row, val_auc_mean=None, val_auc=(None,) * 4) for row in HISTORY)
    report = replace(report, best_val_auc_mean=None, best_val_loss=0.45)
    assert "(lowest validation loss, 0.4500)" in markdown(report)
    assert curves(report, history, names)


def test_without_a_generator_there_is_a_dash(report: RunReport) -> None:
    assert "| generator | `–` |" in markdown(replace(report, generator=None))


def shown(report: RunReport) -> str:
    file = io.StringIO()
    Console(file=file, width=80).print(table(report))
    return file.getvalue()


def test_the_table_shows_the_targets_and_their_auc(report: RunReport) -> None:
    assert shown(report).count("0.700") == 3
    assert "No Finding" not in shown(report)


def test_the_table_shows_all_pathologies_where_there_is_no_target(report: RunReport) -> None:
    rows = tuple(replace(row, target=False) for row in report.pathologies)
    assert "No Finding" in shown(replace(report, pathologies=rows))


def test_curves_are_a_picture_the_same_each_time(report: RunReport, names: list[str]) -> None:
    image = curves(report, HISTORY, names)
    with Image.open(io.BytesIO(image)) as picture:
        assert picture.size == (1650, 660)
    assert image == curves(report, HISTORY, names)
