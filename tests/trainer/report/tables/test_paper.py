from collections.abc import Callable
from typing import Any

from trainer.report.sentences import DASH
from trainer.report.tables import Table

Facts = dict[str, Any]
TablesOf = Callable[[Facts], dict[str, Table]]
Cell = Callable[..., str]
Find = Callable[..., Facts]


def test_images_are_shown_above_those_of_the_paper(
    facts: Facts, tables_of: TablesOf, cell: Cell
) -> None:
    table = tables_of(facts)["table1"]
    first, paper = ("gan1", "1 %", "images"), ("gan10", "10 %", "images, paper")
    assert cell(table, "combined", *first) == "3,050"
    assert cell(table, "Lung Lesion", *first) == "333"
    assert cell(table, "Fracture", "gan1", "1 %", "share reached") == "15.02 %"
    assert cell(table, "real", *paper) == "20,371"
    assert cell(table, "Pleural Other", *paper) == "4,000"
    assert cell(table, "combined", *paper) == "49,829 (sic; adds up to 31,371)"
    assert "gan1: 1,000 rendered images; at least 998 are proven to be necessary." in table.note


def test_a_plan_that_meets_the_bound_is_the_minimum(facts: Facts, tables_of: TablesOf) -> None:
    facts["datasets"][0]["plan"]["lower_bound"] = 1000
    note = tables_of(facts)["table1"].note
    assert "gan1: 1,000 rendered images are the proven minimum." in note


def test_a_dataset_of_real_images_alone_has_no_plan(
    facts: Facts, tables_of: TablesOf, cell: Cell
) -> None:
    facts["datasets"][0] |= {"plan": None, "generator": None, "targets": [], "subgroups": []}
    shown = tables_of(facts)
    row = ("gan1", "1 %", "images")
    assert cell(shown["table1"], "real", *row) == cell(shown["table1"], "combined", *row) == "2,050"
    assert cell(shown["table1"], "Fracture", *row) == DASH
    assert [r for r in shown["table1"].rows if r[0] == "gan1"] == [shown["table1"].rows[0]]
    assert "gan1:" not in shown["table1"].note
    assert cell(shown["repeat"], "", "gan1", "generator") == DASH


def test_auc_of_each_arm_is_followed_by_the_papers(
    facts: Facts, tables_of: TablesOf, cell: Cell, arm_of: Find
) -> None:
    table = tables_of(facts)["table2"]
    row = ("gan1", "1 %", "Lung Lesion")
    auc = arm_of("gan")["pathologies"]["Lung Lesion"]["auc"]
    expected = f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
    assert cell(table, "gan", *row) == expected
    assert cell(table, "paper, none", *row) == "0.727†"
    assert cell(table, "paper, standard", *row) == "0.728†"
    assert cell(table, "paper, GAN", "gan10", "10 %", "Fracture") == "0.742†"
    assert cell(table, "pretrain", "gan10", "10 %", "Lung Lesion") == DASH
    assert "gan1: every arm with seeds 0, 1, 2." in table.note
    assert "† The paper's images are radiographs, ours are phantoms." in table.note


def test_the_papers_aucs_of_radiographs_have_no_mark(
    facts: Facts, tables_of: TablesOf, cell: Cell
) -> None:
    for dataset in facts["datasets"]:
        dataset["source"]["dataset"] = "chexpert"
    shown = tables_of(facts)
    assert cell(shown["table2"], "paper, none", "gan1", "1 %", "Pleural Other") == "0.566"
    assert "†" not in shown["table2"].note + shown["training"].note


def test_a_figure_that_is_missing_is_a_dash_with_its_reason(
    facts: Facts, tables_of: TablesOf, cell: Cell
) -> None:
    table = tables_of(facts)["table2"]
    why = "gan1, Fracture: there are only 3 positives in test and 10 are needed."
    assert why in table.note
    assert cell(table, "gan", "gan1", "1 %", "Fracture") == DASH


def test_an_auc_without_interval_is_shown_alone(
    facts: Facts, tables_of: TablesOf, cell: Cell, arm_of: Find
) -> None:
    lesion = arm_of("gan")["pathologies"]["Lung Lesion"]
    lesion |= {"missing": "no interval, for a reason"}
    lesion["auc"] |= {"value": 1.0, "low": None, "high": None}
    table = tables_of(facts)["table2"]
    assert cell(table, "gan", "gan1", "1 %", "Lung Lesion") == "1.000"
    assert "gan1, Lung Lesion: no interval, for a reason (gan)." in table.note


def test_the_papers_gap_is_shown_for_its_arms_alone(
    facts: Facts, tables_of: TablesOf, cell: Cell, arm_of: Find
) -> None:
    table = tables_of(facts)["training"]
    assert [cell(table, "gap, paper", "gan1", arm) for arm in ("none", "flip", "gan")] == [
        "0.06†", DASH, "0.03†",
    ]  # fmt: skip
    assert cell(table, "gap, paper", "gan10", "none (of gan1)") == "0.04†"
    assert cell(table, "gap", "gan1", "gan") == f"{arm_of('gan')['last']['gap']:+.3f}"
    assert cell(table, "best epochs", "gan1", "gan") == "3, 3, 3"


def test_the_loss_of_classweight_is_weighted(
    facts: Facts, tables_of: TablesOf, arm_of: Find
) -> None:
    said = "The train loss of classweight is weighted, its validation loss is not."
    assert said not in tables_of(facts)["training"].note
    arm_of("flip").update(name="classweight")
    assert said in tables_of(facts)["training"].note


def test_what_is_not_the_papers_has_no_column_of_it(facts: Facts, tables_of: TablesOf) -> None:
    for dataset in facts["datasets"]:
        dataset["source"] = {"dataset": "nih"}
    shown = tables_of(facts)
    assert not [name for table in shown.values() for name in table.columns if "paper" in name]
    assert not [row for row in shown["table1"].rows if row[2] == "images, paper"]
