"""Shares of 5, 15 and 25 % of one recipe; the controls of real images are trained once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.contract.record import to_json
from trainer.report.build_report import build_report
from trainer.report.comparison_report import Report, read_report
from trainer.report.dose import curves_by_figure, dose_curves
from trainer.report.page import page
from trainer.report.results import DatasetResult

Writer = Callable[..., Path]
Edit = Callable[[Path], Any]


@pytest.fixture(scope="module")
def report(run_writer: Writer, edit: Edit, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """`gan` at three shares, named against their order, and controls of the first."""
    root = tmp_path_factory.mktemp("doses")
    for name, share in (("b", 5), ("c", 15), ("a", 25)):
        arms = ("none", "oversample", "gan") if share == 5 else ("oversample", "gan")
        for arm, seed in ((arm, seed) for arm in arms for seed in (0, 1)):
            run = edit(run_writer(root, arm, seed, dataset=name))
            for field, value in (
                ("real", "e" * 64), ("controls", f"{share:064d}"),
                ("build.share", f"0.{share:02d}"),
                ("build.name", name), ("plan.share", [share, 100]), ("config.steps", "own"),
                ("plan.synthetic", 100 * share), ("images.train synthetic", 100 * share),
            ):  # fmt: skip
                run.set(field, value)
    return build_report([root], min_positives=10, command="")


def test_a_curve_follows_the_share_of_the_plans_and_not_the_names(report: Report) -> None:
    assert [(c.pathology, c.arm, c.control) for c in report.doses] == [
        (target, "gan", control)
        for target in ("Lung Lesion", "Pleural Other")  # Fracture has no figures
        for control in ("none", "oversample")
    ]
    curve = report.doses[0]
    assert [(p.dataset, p.share, p.synthetic) for p in curve.points] == [
        ("b", 0.05, 500), ("c", 0.15, 1500), ("a", 0.25, 2500),
    ]  # fmt: skip
    for point in curve.points:
        dataset = next(d for d in report.datasets if d.name == point.dataset)
        row = next(
            r for r in dataset.comparisons
            if (r.arm, r.control, r.pathology) == ("gan", "none", "Lung Lesion")
        )  # fmt: skip
        assert (point.value, point.low, point.high, point.holm) == (
            row.value, row.low, row.high, row.holm
        )  # fmt: skip
        assert point.verdict == row.verdict == "helped"


def test_controls_of_real_images_alone_are_lent_to_every_dose(report: Report) -> None:
    lent = [[(a.title, a.lent_by) for a in d.arms if a.lent_by] for d in report.datasets]
    assert lent == [[("none", "b")], [], [("none", "b")]]


@pytest.mark.usefixtures("words_alone")
def test_it_is_in_the_json_and_on_the_page(report: Report, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(to_json(report))
    assert read_report(tmp_path / "report.json").doses == report.doses
    assert "Dose curve" in page(report)
    assert "Dose curve" not in page(replace(report, doses=(), variants=()))


def changed(dataset: DatasetResult, **build: object) -> DatasetResult:
    return replace(dataset, build={**dataset.build, **build})


def test_only_the_share_may_differ(report: Report) -> None:
    a, b, c = report.datasets
    assert dose_curves([a, b, c]) == report.doses
    assert dose_curves([b]) == ()
    assert dose_curves([b, changed(b, name="twin")]) == ()  # one share
    assert dose_curves([changed(a, vectors="alone"), b]) == ()
    assert dose_curves([replace(a, targets=a.targets[:1]), b]) == ()
    assert len(dose_curves([changed(a, max_per_real=9), b])) == 4


def test_arms_that_were_trained_otherwise_are_in_no_curve(report: Report) -> None:
    a, b, c = report.datasets
    other = [
        replace(arm, recipe={**arm.recipe, "lr": 0.5, "epochs": 9})
        if arm.title in ("gan", "oversample") else arm
        for arm in a.arms
    ]  # fmt: skip
    found = dose_curves([replace(a, arms=tuple(other)), b, c])
    assert {tuple(point.dataset for point in curve.points) for curve in found} == {("b", "c")}


def test_curves_of_two_groups_have_figures_of_their_own(report: Report) -> None:
    others = [replace(changed(d, regime="100"), name=f"{d.name}100") for d in report.datasets]
    both = dose_curves([*report.datasets, *others])
    assert [*curves_by_figure(both)] == [
        f"{target}, {group}"
        for group in ("b to a", "b100 to a100")
        for target in ("Lung Lesion", "Pleural Other")
    ]
    assert [*curves_by_figure(report.doses)] == ["Lung Lesion", "Pleural Other"]
