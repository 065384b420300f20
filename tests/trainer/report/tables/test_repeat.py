from collections.abc import Callable
from typing import Any

from trainer.report.tables import Table

Facts = dict[str, Any]
TablesOf = Callable[[Facts], dict[str, Table]]


def test_everything_that_a_repetition_needs_is_there(
    facts: Facts, tables_of: TablesOf, arm_of: Callable[[str], Facts]
) -> None:
    table = tables_of(facts)["repeat"]
    dataset, run = facts["datasets"][0], arm_of("gan")["runs"][1]
    cells = {row[-1] for row in table.rows}
    assert {dataset["digest"], "0" * 64, "1" * 64, run["command"], facts["command"]} <= cells
    assert {*run["sha256"].values()} <= cells
    assert f"torch {facts['software']['torch']}" in table.rows[-1][-1]
    commands = [row[0] for row in table.rows if row[1] == "command"]
    assert len(commands) == len({*commands}) == 19  # 15 runs of gan1, 3 of gan10, the report


def test_the_weights_that_a_run_began_with_are_named(
    facts: Facts, tables_of: TablesOf, arm_of: Callable[[str], Facts]
) -> None:
    arm_of("gan")["runs"][1]["config"]["init_sha256"] = "a" * 64
    row = ("gan1, gan, seed 1", "initial weights, sha256", "a" * 64)
    assert row in tables_of(facts)["repeat"].rows
