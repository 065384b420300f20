from collections.abc import Callable
from dataclasses import replace

from trainer.report.comparison_report import Report
from trainer.report.results import ArmResult


def test_a_dataset_knows_what_it_was_made_of(report: Report) -> None:
    dataset = report.datasets[0]
    assert (dataset.label_table, dataset.generator_name, dataset.uncertain) == (
        "demo", "phantom", "ones",
    )  # fmt: skip
    masked = replace(dataset, build={"uncertain": "mask"}, generator=None, source={"dataset": 7})
    assert (masked.label_table, masked.generator_name, masked.uncertain) == (None, None, "mask")


def test_what_is_unusual_about_an_arm_is_in_its_title(
    untrained: Callable[[str], ArmResult],
) -> None:
    assert untrained("gan").unusual == ()
    assert untrained("gan, flip, own steps").unusual == ("flip", "own steps")
