"""Runs that were also scored on another dataset: the gain of `gan` is there, gone or reversed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from builder.contract import CheckError, UsageError, sha256_bytes, sha256_file
from builder.contract.record import to_json
from trainer.evaluate.external import ExternalTest
from trainer.evaluate.external_scores import ExternalScores, scores_path
from trainer.report.build_report import build_report
from trainer.report.comparison_report import Report, read_report
from trainer.report.external import carries_over
from trainer.report.markup import latex, markdown
from trainer.report.page import page
from trainer.report.results import ExternalResult
from trainer.report.write import write_report

Writer = Callable[..., Path]
LABELS = (("No Finding", "Normal"), ("Lung Lesion", "Nodule"), ("Pleural Other", "Pleural Other"))


def there(labels: tuple[tuple[str, str], ...] = LABELS, name: str = "padchest") -> ExternalTest:
    return ExternalTest(
        shards=f"manifests/{name}.json",
        name=name,
        digest=sha256_bytes(name.encode()),
        labels=labels,
        left_out=("Fracture",),
    )


def score(run: Path, like: Path, test: ExternalTest, *, epoch: int = 3, unread: int = 0) -> Path:
    """Give the run external scores, with the probabilities of the run `like`."""
    path = scores_path(run, test)
    path.parent.mkdir(exist_ok=True)
    predictions = path.with_suffix(".parquet")
    table = pd.read_parquet(like / "predictions.parquet")
    table["key"] = "there-" + table["key"]
    table["label:Fracture"] = table["label:Fracture"] * 0 - 1
    table.to_parquet(predictions)
    found = ExternalScores(
        test=test, source={"dataset": "padchest"}, manifest=sha256_bytes(b"gan1"), epoch=epoch,
        images=len(table), unread=unread, scores=(), predictions=sha256_file(predictions),
    )  # fmt: skip
    path.write_text(to_json(found))
    return path


@pytest.fixture(scope="module")
def runs(run_writer: Writer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of none and gan on three other datasets; oversample on none of them."""
    root = tmp_path_factory.mktemp("external")
    names = {"same": ("none", "gan"), "even": ("none", "none"), "swapped": ("gan", "none")}
    for arm in ("none", "gan", "oversample"):
        for seed in (0, 1, 2):
            run_writer(root, arm, seed)
    for seed in (0, 1, 2):
        for name, likes in names.items():
            for arm, like in zip(("none", "gan"), likes, strict=True):
                own, other = (root / f"gan1/{a}-seed{seed}" for a in (arm, like))
                if own != other and arm == "gan":
                    other = root / f"gan1/{like}-seed{(seed + 1) % 3}"
                score(own, other, there(name=name))
    return root


@pytest.fixture(scope="module")
def report(runs: Path) -> Report:
    return build_report([runs], min_positives=10, command="")


def called(report: Report, name: str) -> ExternalResult:
    (found,) = (test for test in report.datasets[0].external if test.name == name)
    return found


def test_a_gain_carries_over_or_not_by_the_same_rule(report: Report) -> None:
    home = {c.pathology: c.verdict for c in report.datasets[0].conclusions if c.arm == "gan"}
    assert home["Lung Lesion"] == "helped"
    said = {}
    for name in ("same", "even", "swapped"):
        lesion, _ = called(report, name).conclusions
        assert (lesion.pathology, lesion.arm, lesion.at_home) == ("Lung Lesion", "gan", "helped")
        said[name] = (lesion.verdict, lesion.carries_over, lesion.sentence.partition(": ")[2][:47])
    assert said == {
        "same": ("helped", "carries over", "the gain carries over to same: adding synthetic"),
        "even": ("no evidence", "no evidence", "there is no evidence that the gain carries over"),
        "swapped": ("hurt", "reversed", "the gain is reversed on swapped: adding synthet"),
    }


@pytest.mark.parametrize(
    ("home", "elsewhere", "said"),
    [
        ("helped", "helped", "carries over"), ("helped", "hurt", "reversed"),
        ("helped", "no verdict", "no evidence"), ("no evidence", "helped", "no gain"),
    ],
)  # fmt: skip
def test_only_a_gain_can_carry_over(home: Any, elsewhere: Any, said: str) -> None:
    assert carries_over(home, elsewhere) == said


def test_figures_are_those_of_its_predictions_and_labels(report: Report, runs: Path) -> None:
    test = called(report, "same")
    assert test.targets == ("Lung Lesion", "Pleural Other")
    assert [*test.positives] == ["No Finding", *test.targets]
    assert (test.left_out, test.labels["Lung Lesion"]) == (("Fracture",), "Nodule")
    assert (test.without, [*test.arms]) == (("oversample",), ["none", "gan"])
    aucs = []
    for seed in (0, 1, 2):
        path = scores_path(runs / f"gan1/gan-seed{seed}", there(name="same"))
        table = pd.read_parquet(path.with_suffix(".parquet"))
        table = table[table["label:Lung Lesion"] >= 0]
        aucs.append(roc_auc_score(table["label:Lung Lesion"], table["probability:Lung Lesion"]))
    found = test.arms["gan"]["Lung Lesion"]
    assert found.auc_of_seeds == pytest.approx(aucs)
    assert test.test.patients == 300  # the bootstrap's unit
    row = next(r for r in test.comparisons if r.pathology == "Lung Lesion")
    other = next(
        r for r in report.datasets[0].comparisons
        if (r.arm, r.control, r.pathology) == ("gan", "none", "Lung Lesion")
    )  # fmt: skip
    assert (row.value, row.low, row.high) == (other.value, other.low, other.high)
    assert row.holm == 2 * (row.p or 0)  # two targets are labelled


@pytest.mark.usefixtures("words_alone")
def test_it_is_said_and_shown(report: Report, tmp_path: Path) -> None:
    notes = " ".join(report.notes)
    assert "gan1: same does not label Fracture: left out there." in notes
    assert "not every run of oversample was scored on even" in notes
    shown = page(report)
    assert "Other test sets" in shown
    assert "the gain is reversed on swapped" in shown
    assert "Nothing here applies to other hospitals" not in shown
    alone = tuple(replace(dataset, external=()) for dataset in report.datasets)
    assert "Nothing here applies to other hospitals" in page(replace(report, datasets=alone))
    for text in (markdown(report), latex(report)):
        assert "gan1, tested on same" in text
        assert "differences in AUC on other test sets" in text
    path = tmp_path / "report.json"
    path.write_text(to_json(report))
    assert read_report(path) == report


@pytest.mark.usefixtures("words_alone")
def test_a_report_shows_the_tests_that_were_asked_for(runs: Path, tmp_path: Path) -> None:
    digest = there(name="even").digest
    report = write_report([runs], tmp_path, min_positives=10, command="", tests=(digest,))
    assert [test.name for test in report.datasets[0].external] == ["even"]
    report = build_report([runs], min_positives=10, command="", tests=())
    assert report.datasets[0].external == ()


@pytest.fixture
def pair(run_writer: Writer, tmp_path: Path) -> tuple[Path, Path]:
    """A run of none and one of gan, which a test may change."""
    return run_writer(tmp_path, "none", 0), run_writer(tmp_path, "gan", 0)


def test_scores_of_earlier_weights_are_none(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for run in pair:
        score(run, run, there(), epoch=2)  # the best one is 3
    assert build_report([tmp_path], min_positives=10, command="").datasets[0].external == ()


def test_a_test_on_which_no_arm_is_complete_is_named(run_writer: Writer, tmp_path: Path) -> None:
    runs = [run_writer(tmp_path, arm, seed) for arm in ("none", "gan") for seed in (0, 1)]
    score(runs[0], runs[0], there())
    report = build_report([tmp_path], min_positives=10, command="")
    assert report.datasets[0].external == ()
    note = "gan1: no arm has all its seeds scored on padchest, so nothing is said about it."
    assert note in report.notes


def test_without_its_control_there_nothing_is_said_of_a_gain(
    run_writer: Writer, tmp_path: Path
) -> None:
    arms = ("none", "gan", "oversample")
    runs = {(arm, seed): run_writer(tmp_path, arm, seed) for arm in arms for seed in (0, 1, 2)}
    for seed in (0, 1, 2):
        score(runs["gan", seed], runs["gan", seed], there(), unread=seed)
    lost = "on padchest, nothing can be said of a gain, because not every run of none was scored"
    for control in (None, "oversample"):
        for seed in (0, 1, 2) if control else ():
            score(runs[control, seed], runs[control, seed], there())
        report = build_report([tmp_path], min_positives=10, command="")
        (found,) = report.datasets[0].external
        lesion = found.conclusions[0].sentence
        assert lesion.startswith(f"Lung Lesion: {lost} there{';' if control else '.'}")
        assert ("carries over" in lesion) is False
        assert ("compared with" in lesion) is bool(control)
        assert "gan1: up to 2 test images of padchest could not be read." in report.notes


def test_what_does_not_fit_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    none, gan = pair
    score(none, none, there())
    path = score(gan, gan, there(LABELS[:2]))
    with pytest.raises(UsageError, match=r"was scored on padchest with other labels than other"):
        build_report([tmp_path], min_positives=10, command="")
    path.with_suffix(".parquet").write_bytes(b"cut")
    with pytest.raises(CheckError, match=r"is not what padchest-.* says: remove both, then score"):
        build_report([tmp_path], min_positives=10, command="")
    path.write_text("{")
    with pytest.raises(CheckError, match=r"padchest.*is not valid JSON"):
        build_report([tmp_path], min_positives=10, command="")
    shutil.rmtree(path.parent)
    other = score(gan, gan, there((("Emphysema", "Emphysema"),)))
    with pytest.raises(CheckError, match="does not fit the run's report"):
        build_report([tmp_path], min_positives=10, command="")
    shutil.rmtree(other.parent)
    (found,) = build_report([tmp_path], min_positives=10, command="").datasets[0].external
    assert found.without == ("gan",)
