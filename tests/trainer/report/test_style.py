from collections.abc import Callable
from dataclasses import replace

from trainer.recipe import ARMS
from trainer.report.comparison_report import Report
from trainer.report.results import ArmResult
from trainer.report.style import STYLES, VERDICTS, styles


def test_an_arm_has_one_style_everywhere(report: Report) -> None:
    first, second = (styles(dataset) for dataset in report.datasets)
    assert all(second[title] == first[title] for title in second)
    found = [first[title] for title in ("none", "gan", "oversample")]
    for name in ("colour", "marker", "dashes"):
        assert len({str(getattr(style, name)) for style in found}) >= 2
    assert len({style.colour for style in first.values()}) == len(first)
    assert len({style.marker for style in first.values()}) == len(first)


def test_every_arm_has_a_style_and_no_verdict_has_its_colour() -> None:
    assert [*STYLES] == [*ARMS]
    assert not {colour for colour, _ in VERDICTS.values()} & {style[0] for style in STYLES.values()}


def test_an_unusual_arm_looks_unusual_even_alone(
    report: Report, untrained: Callable[[str], ArmResult]
) -> None:
    dataset = replace(report.datasets[0], arms=(untrained("gan, flip"),))
    assert styles(dataset)["gan, flip"].colour != STYLES["gan"][0]


def test_two_arms_of_a_name_look_different(
    report: Report, untrained: Callable[[str], ArmResult]
) -> None:
    titles = ("gan", "gan, real=1 synthetic=0.5, own steps")
    dataset = replace(report.datasets[0], arms=tuple(map(untrained, titles)))
    first, second = styles(dataset).values()
    assert first.colour != second.colour
    assert second.face == "white"
