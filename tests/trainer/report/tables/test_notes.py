from collections.abc import Callable
from typing import Any

from trainer.report.comparison_report import Report
from trainer.report.tables.notes import no_interval, reasons, seeds

Facts = dict[str, Any]
AsReport = Callable[[Facts], Report]


def test_which_seeds_a_table_covers(
    report: Report, facts: Facts, as_report: AsReport, arm_of: Callable[[str], Facts]
) -> None:
    assert seeds(report.datasets[0]) == "gan1: every arm with seeds 0, 1, 2."
    arm_of("none")["runs"] = arm_of("none")["runs"][:1]
    said = "gan1: none with seeds 0; flip, gan, oversample, pretrain with seeds 0, 1, 2."
    assert seeds(as_report(facts).datasets[0]) == said


def test_a_reason_names_the_arms_unless_it_is_all_of_them(
    facts: Facts, as_report: AsReport, arm_of: Callable[[str], Facts]
) -> None:
    arm_of("gan")["pathologies"]["Lung Lesion"]["missing"] = "no interval"
    dataset = as_report(facts).datasets[0]
    assert reasons(dataset, ["Lung Lesion", "Fracture", "Pleural Other"]) == [
        "gan1, Lung Lesion: no interval (gan).",
        "gan1, Fracture: there are only 3 positives in test and 10 are needed.",
    ]


def test_a_difference_without_interval_is_explained(
    report: Report, facts: Facts, as_report: AsReport, pair_of: Callable[..., Facts]
) -> None:
    assert no_interval(report.datasets[0].comparisons) == []
    pair_of("gan", "none", "Lung Lesion").update(low=None, high=None)
    (said,) = no_interval(as_report(facts).datasets[0].comparisons)
    assert said.startswith("There is no interval where all positive or all negative images")
