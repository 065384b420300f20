import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from trainer.report.build_report import across
from trainer.report.paper_values import FIGURE_4, TABLE_1, TABLE_2, aucs, counts, gaps
from trainer.report.tables import DASH, Table, tables
from trainer.report.tables.dataset import EFFECTS

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def read(run_folders: Path) -> Facts:
    return across([run_folders], min_positives=10, command="xtrain report runs")


@pytest.fixture
def facts(read: Facts) -> Facts:
    return deepcopy(read)


def found(facts: Facts) -> dict[str, Table]:
    return {table.key: table for table in tables(facts)}


def cell(table: Table, column: str, *start: str) -> str:
    """The cell of the only row that begins so."""
    (row,) = (row for row in table.rows if row[: len(start)] == start)
    return row[table.columns.index(column)]


def estimate(number: Facts, sign: str = "") -> str:
    value, low, high = (f"{number[name]:{sign}.3f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def arm_of(facts: Facts, title: str) -> Facts:
    return next(arm for arm in facts["datasets"][0]["arms"] if arm["title"] == title)


def pair_of(facts: Facts, arm: str, control: str, pathology: str) -> Facts:
    wanted = (arm, control, pathology)
    rows = facts["datasets"][0]["comparisons"]
    return next(r for r in rows if (r["arm"], r["control"], r["pathology"]) == wanted)


def test_every_row_has_every_column_and_keys_differ(facts: Facts):
    shown = tables(facts)
    assert len({table.key for table in shown}) == len(shown)
    for table in shown:
        assert len(table.align) == len(table.columns)
        assert {*table.align} <= {*"lrm"}
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert all(cell for row in table.rows for cell in row)
        assert table.note
        assert 0 not in table.starts
        assert {*table.starts, *table.strong} <= {*range(len(table.rows))}


def test_tables_stand_in_reading_order(facts: Facts):
    kinds = ("differences", "others", "figures", "subgroups")
    per_dataset = [f"{kind}-{name}" for name in ("gan1", "gan10") for kind in kinds]
    assert [*found(facts)] == ["table1", "table2", *per_dataset, "training", "repeat"]


def test_images_stand_above_those_of_the_paper(facts: Facts):
    table = found(facts)["table1"]
    first, paper = ("gan1", "1 %", "images"), ("gan10", "10 %", "images, paper")
    assert cell(table, "combined", *first) == "3,050"
    assert cell(table, "Lung Lesion", *first) == "333"
    assert cell(table, "Fracture", "gan1", "1 %", "share reached") == "15.02 %"
    assert cell(table, "real", *paper) == "20,371"
    assert cell(table, "Pleural Other", *paper) == "4,000"
    assert cell(table, "combined", *paper) == "49,829 (sic; adds up to 31,371)"
    assert "at least 998 are proven necessary" in table.note


def test_a_plan_that_meets_the_bound_is_called_the_fewest(facts: Facts):
    facts["datasets"][0]["plan"]["lower_bound"] = 1000
    assert "gan1: 1,000 rendered images are proven to be the fewest." in found(facts)["table1"].note


def test_auc_of_each_arm_stands_beside_the_papers(facts: Facts):
    table = found(facts)["table2"]
    row = ("gan1", "1 %", "Lung Lesion")
    for title in ("none", "flip", "gan", "oversample", "pretrain"):
        auc = arm_of(facts, title)["pathologies"]["Lung Lesion"]["auc"]
        assert cell(table, title, *row) == estimate(auc)
    assert [cell(table, f"paper, {word}", *row) for word in ("none", "standard", "GAN")] == [
        "0.727†", "0.728†", "0.758†",
    ]  # fmt: skip
    assert cell(table, "paper, GAN", "gan10", "10 %", "Fracture") == "0.742†"
    assert cell(table, "pretrain", "gan10", "10 %", "Lung Lesion") == DASH
    assert "gan1: every arm with seeds 0, 1, 2." in table.note
    assert "† Of other images" in table.note


def test_the_papers_aucs_of_radiographs_have_no_mark(facts: Facts):
    for dataset in facts["datasets"]:
        dataset["source"]["dataset"] = "chexpert"
    table = found(facts)["table2"]
    assert cell(table, "paper, none", "gan1", "1 %", "Pleural Other") == "0.566"
    assert "†" not in table.note + found(facts)["training"].note


def test_a_figure_that_is_missing_is_a_dash_with_its_reason(facts: Facts):
    shown = found(facts)
    for key in ("table2", "differences-gan1", "figures-gan1"):
        assert "gan1, Fracture: 3 positives are fewer than 10." in shown[key].note
    assert cell(shown["table2"], "gan", "gan1", "1 %", "Fracture") == DASH
    assert cell(shown["figures-gan1"], "AUC of each seed", "Fracture", "gan") == DASH
    start = ("gan", "none", "Fracture")
    assert cell(shown["differences-gan1"], "p (Holm)", *start) == DASH
    assert cell(shown["differences-gan1"], "verdict", *start) == "no verdict"


def test_an_auc_without_interval_stands_alone(facts: Facts):
    lesion = arm_of(facts, "gan")["pathologies"]["Lung Lesion"]
    lesion |= {"missing": "no interval, for a reason"}
    lesion["auc"] |= {"value": 1.0, "low": None, "high": None}
    table = found(facts)["table2"]
    assert cell(table, "gan", "gan1", "1 %", "Lung Lesion") == "1.000"
    assert "gan1, Lung Lesion: no interval, for a reason (gan)." in table.note


def test_differences_are_the_comparisons_of_targets(facts: Facts):
    table = found(facts)["differences-gan1"]
    row = pair_of(facts, "gan", "none", "Pleural Other")
    start = ("gan", "none", "Pleural Other")
    assert cell(table, "difference", *start) == f"{row['value']:+.3f}"
    assert cell(table, "95 % interval", *start) == f"{row['low']:+.3f} to {row['high']:+.3f}"
    assert cell(table, "p", *start) == f"{row['p']:.3f}"
    assert cell(table, "p (Holm)", *start) == f"{row['holm']:.3f}"
    assert cell(table, "seeds' part", *start) == f"{100 * row['seed_share']:.0f} %"
    assert cell(table, "p", "gan", "none", "Lung Lesion") == "< 0.001"
    assert {row[2] for row in table.rows} == {*facts["datasets"][0]["targets"]}
    effects = {number for number, row in enumerate(table.rows) if row[-1] in EFFECTS}
    assert table.strong == effects
    assert effects


def test_one_seed_says_nothing_of_the_seeds_part(facts: Facts):
    arm = arm_of(facts, "none")
    arm["runs"] = arm["runs"][:1]
    table = found(facts)["differences-gan1"]
    assert cell(table, "seeds' part", "gan", "none", "Pleural Other") == DASH
    said = "gan1: none with seeds 0; flip, gan, oversample, pretrain with seeds 0, 1, 2."
    assert said in found(facts)["table2"].note


def test_the_other_pathologies_have_differences_and_no_verdict(facts: Facts):
    table = found(facts)["others-gan1"]
    assert table.columns[2:] == (
        "gan − none", "gan − oversample", "pretrain − none",
    )  # fmt: skip
    assert [row[0] for row in table.rows] == ["No Finding"]
    expected = estimate(pair_of(facts, "gan", "oversample", "No Finding"), "+")
    assert cell(table, "gan − oversample", "No Finding") == expected


def test_a_pathology_that_lost_is_named(facts: Facts):
    row = pair_of(facts, "gan", "none", "No Finding")
    row |= {"value": -0.02, "low": -0.03, "high": -0.01}
    said = "gan − none: the interval lies below 0 for 1 of 1 (No Finding) and above 0 for 0 of 1."
    assert said in found(facts)["others-gan1"].note


def test_figures_are_those_of_the_arm(facts: Facts):
    table = found(facts)["figures-gan1"]
    lesion = arm_of(facts, "gan")["pathologies"]["Lung Lesion"]
    start = ("Lung Lesion", "gan")
    assert cell(table, "AUC of each seed", *start) == ", ".join(
        f"{auc:.3f}" for auc in lesion["auc_of_seeds"]
    )
    for column, name in (
        ("AP", "average_precision"), ("ECE", "calibration_error"), ("sens.", "sensitivity"),
    ):  # fmt: skip
        assert cell(table, column, *start) == f"{lesion[name]:.3f}"
    count = facts["datasets"][0]["positives"]["Lung Lesion"]
    known = count["positives"] + count["negatives"]
    assert cell(table, "positives", *start) == f"{count['positives']} of {known}"
    assert table.rows[0][0] == "Lung Lesion"  # targets first
    assert table.rows[-1][0] == "No Finding"


def test_subgroups_are_exploratory(facts: Facts):
    table = found(facts)["subgroups-gan1"]
    row = next(r for r in facts["datasets"][0]["subgroups"] if r["pathology"] == "Lung Lesion")
    start = (row["group"], row["value"], "Lung Lesion")
    assert cell(table, "positives", *start) == f"{row['positives']}‡"
    assert "‡ Fewer than 50 positives: read with care." in table.note
    assert cell(table, "positives", row["group"], row["value"], "Fracture").isdigit()
    assert cell(table, "flip", *start) == f"{row['auc']['flip']['value']:.3f}"
    gap = next(
        d for d in row["differences"] if (d["arm"], d["control"]) == ("gan", "oversample")
    )  # fmt: skip
    assert cell(table, "gan − oversample", *start) == estimate(gap, "+")
    assert cell(table, "gan", row["group"], row["value"], "Fracture") == DASH
    assert "Exploratory" in table.note
    assert "below 10 positives there is no figure" in table.note


def test_subgroups_with_enough_positives_have_no_mark(facts: Facts):
    for row in facts["datasets"][0]["subgroups"]:
        row["positives"] = 9 if row["missing"] else 50
    table = found(facts)["subgroups-gan1"]
    assert {cell for row in table.rows for cell in row if cell.endswith("‡")} == set()
    assert "‡" not in table.note


def test_an_arm_is_read_beside_the_controls_of_its_conclusion(facts: Facts):
    facts["datasets"] = facts["datasets"][:1]
    text = json.dumps(facts).replace('"gan"', '"gan, flip"').replace('"none"', '"none, flip"')
    facts = json.loads(text.replace('"name": "gan, flip"', '"name": "gan"'))
    arm_of(facts, "none, flip")["name"] = "none"
    for title in ("gan, flip", "none, flip"):
        arm_of(facts, title)["modifiers"] = ["flip"]
    assert [c for c in found(facts)["others-gan1"].columns if c.startswith("gan")] == [
        "gan, flip − none, flip"
    ]


def test_keys_hold_plain_letters_alone(facts: Facts):
    for number, dataset in enumerate(facts["datasets"]):
        dataset["name"] = f"Evil}}\\input{{x}} <b>{number}"
    keys = [table.key for table in tables(facts)]
    assert len({*keys}) == len(keys)
    assert all(re.fullmatch("[a-z0-9_-]+", key) for key in keys)


def test_the_papers_gap_stands_at_its_arms_alone(facts: Facts):
    table = found(facts)["training"]
    assert [cell(table, "gap, paper", "gan1", arm) for arm in ("none", "flip", "gan")] == [
        "0.06†", DASH, "0.03†",
    ]  # fmt: skip
    assert cell(table, "gap, paper", "gan10", "none (of gan1)") == "0.04†"
    assert cell(table, "gap", "gan1", "gan") == f"{arm_of(facts, 'gan')['last']['gap']:+.3f}"
    assert cell(table, "best epochs", "gan1", "gan") == "3, 3, 3"


def test_all_that_repeats_it_is_there(facts: Facts):
    table = found(facts)["repeat"]
    dataset, run = facts["datasets"][0], arm_of(facts, "gan")["runs"][1]
    cells = {row[-1] for row in table.rows}
    assert {dataset["digest"], "0" * 64, "1" * 64, run["command"], facts["command"]} <= cells
    assert {*run["sha256"].values()} <= cells
    assert f"torch {facts['software']['torch']}" in table.rows[-1][-1]
    commands = [row[0] for row in table.rows if row[1] == "command"]
    assert len(commands) == len({*commands}) == 19  # 15 runs of gan1, 3 of gan10, the report


def test_no_target_shows_every_pathology(facts: Facts):
    dataset = facts["datasets"][0]
    facts["datasets"] = [dataset]
    dataset |= {"targets": [], "subgroups": []}
    dataset["plan"]["targets"] = []
    for row in dataset["comparisons"]:
        row["target"] = False
        row.pop("verdict", None)
    shown = found(facts)
    assert [row[2] for row in shown["table2"].rows] == [*dataset["positives"]]
    assert "differences-gan1" not in shown
    assert "subgroups-gan1" not in shown


@pytest.mark.parametrize(
    "changes",
    [
        {"source": {"dataset": "nih"}},
        {"source": {}},
        {"regime": "25"},
        {"regime": None},
        {"build": {"uncertain": "zeros"}},
    ],
    ids=str,
)
def test_what_is_not_the_papers_has_no_figures_of_it(facts: Facts, changes: Facts):
    for dataset in facts["datasets"]:
        dataset |= changes
        assert counts(dataset) is aucs(dataset, "Fracture") is gaps(dataset) is None
    shown = found(facts)
    assert not [name for table in shown.values() for name in table.columns if "paper" in name]
    assert not [row for row in shown["table1"].rows if row[2] == "images, paper"]


def test_counts_of_another_share_are_not_the_papers(facts: Facts):
    facts["datasets"][0]["plan"]["share"] = [1, 10]
    assert counts(facts["datasets"][0]) is None
    assert aucs(facts["datasets"][0], "Fracture") is not None


def test_one_regime_is_the_same_however_it_is_written(facts: Facts):
    dataset = facts["datasets"][0] | {"regime": "10.0"}
    assert counts(dataset) == TABLE_1[10]
    assert aucs(dataset, "Lung Lesion") == TABLE_2[10, "Lung Lesion"]
    assert gaps(dataset) == FIGURE_4[10]
    assert aucs(dataset, "No Finding") is None


def test_the_papers_rows_add_up_but_for_one():
    assert {regime for regime, row in TABLE_1.items() if row.total != row.combined} == {10}
