import re
from collections.abc import Callable
from typing import Any

from trainer.report.comparison_report import Report
from trainer.report.tables import Table, tables

Facts = dict[str, Any]
TablesOf = Callable[[Facts], dict[str, Table]]


def test_every_row_has_every_column_and_keys_differ(report: Report) -> None:
    shown = tables(report)
    assert len({table.key for table in shown}) == len(shown)
    for table in shown:
        assert len(table.align) == len(table.columns)
        assert {*table.align} <= {*"lrm"}
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert all(cell for row in table.rows for cell in row)
        assert table.note
        assert 0 not in table.starts
        assert {*table.starts, *table.strong} <= {*range(len(table.rows))}


def test_tables_have_a_reading_order(report: Report) -> None:
    kinds = ("differences", "others", "figures", "subgroups")
    per_dataset = [f"{kind}-{name}" for name in ("gan1", "gan10") for kind in kinds]
    keys = [table.key for table in tables(report)]
    assert keys == ["table1", "table2", *per_dataset, "training", "repeat"]


def test_keys_hold_plain_letters_alone(facts: Facts, tables_of: TablesOf) -> None:
    for number, dataset in enumerate(facts["datasets"]):
        dataset["name"] = f"Evil}}\\input{{x}} <b>{number}"
    keys = [*tables_of(facts)]
    assert len(keys) == 12
    assert all(re.fullmatch("[a-z0-9_-]+", key) for key in keys)


def test_no_target_shows_every_pathology(facts: Facts, tables_of: TablesOf) -> None:
    dataset = facts["datasets"][0]
    facts["datasets"] = [dataset]
    dataset |= {"targets": [], "subgroups": []}
    dataset["plan"]["targets"] = []
    for row in dataset["comparisons"]:
        row |= {"target": False, "verdict": None}
    shown = tables_of(facts)
    assert [row[2] for row in shown["table2"].rows] == [*dataset["positives"]]
    assert "differences-gan1" not in shown
    assert "subgroups-gan1" not in shown
