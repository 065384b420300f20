import json
from collections.abc import Callable
from typing import Any

from trainer.report.conclusions import EFFECTS
from trainer.report.sentences import DASH
from trainer.report.tables import Table

Facts = dict[str, Any]
TablesOf = Callable[[Facts], dict[str, Table]]
Cell = Callable[..., str]
Find = Callable[..., Facts]


def estimate(number: Facts, sign: str = "") -> str:
    value, low, high = (f"{number[name]:{sign}.3f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def test_differences_are_the_comparisons_of_targets(
    facts: Facts, tables_of: TablesOf, cell: Cell, pair_of: Find
) -> None:
    table = tables_of(facts)["differences-gan1"]
    row = pair_of("gan", "none", "Pleural Other")
    start = ("gan", "none", "Pleural Other")
    assert cell(table, "difference", *start) == f"{row['value']:+.3f}"
    assert cell(table, "95 % CI", *start) == f"{row['low']:+.3f} to {row['high']:+.3f}"
    assert cell(table, "p", *start) == f"{row['p']:.3f}"
    assert cell(table, "p (Holm)", *start) == f"{row['holm']:.3f}"
    assert cell(table, "seeds' share", *start) == f"{100 * row['seed_share']:.0f} %"
    assert cell(table, "p", "gan", "none", "Lung Lesion") == "< 0.001"
    assert {row[2] for row in table.rows} == {*facts["datasets"][0]["targets"]}
    effects = {number for number, row in enumerate(table.rows) if row[-1] in EFFECTS}
    assert table.strong == effects
    assert effects


def test_a_figure_that_is_missing_is_a_dash_with_its_reason(
    facts: Facts, tables_of: TablesOf, cell: Cell
) -> None:
    shown = tables_of(facts)
    for key in ("differences-gan1", "figures-gan1"):
        why = "gan1, Fracture: there are only 3 positives in test and 10 are needed."
        assert why in shown[key].note
    assert cell(shown["figures-gan1"], "AUC of each seed", "Fracture", "gan") == DASH
    start = ("gan", "none", "Fracture")
    assert cell(shown["differences-gan1"], "p (Holm)", *start) == DASH
    assert cell(shown["differences-gan1"], "verdict", *start) == "no verdict"


def test_one_seed_does_not_show_the_seeds_share(
    facts: Facts, tables_of: TablesOf, cell: Cell, arm_of: Find
) -> None:
    arm = arm_of("none")
    arm["runs"] = arm["runs"][:1]
    table = tables_of(facts)["differences-gan1"]
    assert cell(table, "seeds' share", "gan", "none", "Pleural Other") == DASH


def test_the_other_pathologies_have_differences_and_no_verdict(
    facts: Facts, tables_of: TablesOf, cell: Cell, pair_of: Find
) -> None:
    table = tables_of(facts)["others-gan1"]
    assert table.columns[2:] == ("gan − none", "gan − oversample", "pretrain − none")
    assert [row[0] for row in table.rows] == ["No Finding"]
    expected = estimate(pair_of("gan", "oversample", "No Finding"), "+")
    assert cell(table, "gan − oversample", "No Finding") == expected
    assert "There is no verdict" in table.note


def test_a_pathology_that_lost_is_named(facts: Facts, tables_of: TablesOf, pair_of: Find) -> None:
    pair_of("gan", "none", "No Finding").update(value=-0.02, low=-0.03, high=-0.01)
    said = "gan − none: the CI lies below 0 for 1 of 1 (No Finding) and above 0 for 0 of 1."
    assert said in tables_of(facts)["others-gan1"].note


def test_figures_are_those_of_the_arm(
    facts: Facts, tables_of: TablesOf, cell: Cell, arm_of: Find
) -> None:
    table = tables_of(facts)["figures-gan1"]
    lesion = arm_of("gan")["pathologies"]["Lung Lesion"]
    start = ("Lung Lesion", "gan")
    assert cell(table, "AUC", *start) == estimate(lesion["auc"])
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


def test_subgroups_are_exploratory(facts: Facts, tables_of: TablesOf, cell: Cell) -> None:
    table = tables_of(facts)["subgroups-gan1"]
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
    assert "Below 10 positives there is no figure" in table.note


def test_subgroups_with_enough_positives_have_no_mark(facts: Facts, tables_of: TablesOf) -> None:
    for row in facts["datasets"][0]["subgroups"]:
        row["positives"] = 9 if row["missing"] else 50
    table = tables_of(facts)["subgroups-gan1"]
    assert not [cell for row in table.rows for cell in row if cell.endswith("‡")]
    assert "‡" not in table.note


def test_a_subgroup_without_negatives_has_its_reason_once(
    facts: Facts, tables_of: TablesOf
) -> None:
    for row in facts["datasets"][0]["subgroups"]:
        if row["pathology"] == "Lung Lesion" and row["value"] == "female":
            row |= {"missing": "no test image is negative", "auc": {}, "differences": []}
    note = tables_of(facts)["subgroups-gan1"].note
    assert note.count("female, Lung Lesion: no test image is negative.") == 1


def test_an_arm_is_shown_with_the_controls_of_its_conclusion(
    facts: Facts, tables_of: TablesOf
) -> None:
    facts["datasets"] = facts["datasets"][:1]
    text = json.dumps(facts).replace('"gan"', '"gan, flip"').replace('"none"', '"none, flip"')
    for name in ("gan", "none"):
        for key in ("name", "arm", "augment"):
            text = text.replace(f'"{key}": "{name}, flip"', f'"{key}": "{name}"')
    facts = json.loads(text)
    for row in facts["datasets"][0]["comparisons"]:
        row["arm"] = "gan, flip" if row["arm"] == "gan" else row["arm"]
    for arm in facts["datasets"][0]["arms"]:
        if arm["title"] in ("gan, flip", "none, flip"):
            arm["modifiers"] = ["flip"]
    columns = tables_of(facts)["others-gan1"].columns
    assert [c for c in columns if c.startswith("gan")] == ["gan, flip − none, flip"]
