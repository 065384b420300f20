"""Other ways to use the same generator, against plain gan on the same real images."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from builder.contract.record import to_json
from trainer.report.across import Variant
from trainer.report.build_report import build_report
from trainer.report.comparison_report import Report, read_report
from trainer.report.load import load_run
from trainer.report.page import page
from trainer.report.studies import studies
from trainer.report.variants import differs, trained_otherwise, variant_studies

Writer = Callable[..., Path]
Edit = Callable[[Path], Any]
CHECKS = ["constant:1", f"classifier:0.9:sha256:{'a' * 64}"]


@pytest.fixture(scope="module")
def root(run_writer: Writer, edit: Edit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain gan and pretrain, checked images, label vectors alone, and half the weight."""
    root = tmp_path_factory.mktemp("variants")
    changes: dict[str, dict[str, object]] = {
        "plain": {}, "checked": {"build.checks": CHECKS}, "alone": {"build.vectors": "alone"}
    }  # fmt: skip
    for name, fields in changes.items():
        arms = ("none", "gan", "pretrain") if name == "plain" else ("gan",)
        for arm, seed in ((arm, seed) for arm in arms for seed in (0, 1, 2)):
            run = edit(run_writer(root, arm, seed, dataset=name))
            fixed = {"real": "e" * 64, "build.name": name, "build.checks": ["constant:1"]}
            for field, value in (fixed | fields).items():
                run.set(field, value)
    for seed in (0, 1, 2):
        light = edit(run_writer(root / "light", "gan", seed, dataset="plain"))
        light.set("real", "e" * 64)
        light.set("build.name", "plain")
        light.set("build.checks", ["constant:1"])
        light.set("config.synthetic_weight", 0.5)
    return root


@pytest.fixture(scope="module")
def report(root: Path) -> Report:
    paths = [root / "plain", root / "light", root / "checked", root / "alone"]
    return build_report(paths, min_positives=10, command="")


def test_datasets_whose_real_shards_differ_are_named(
    run_writer: Writer, edit: Edit, tmp_path: Path
) -> None:
    for name, real in (("plain", "e"), ("checked", "f"), ("same", "e")):
        edit(run_writer(tmp_path, "gan", 0, dataset=name)).set("real", real * 64)
    paths = [tmp_path / name for name in ("plain", "checked", "same")]
    notes = build_report(paths, min_positives=10, command="").notes
    (said,) = (note for note in notes if "are not compared" in note)
    assert said.startswith("plain and checked are not compared with each other: ")


def of(report: Report, target: str) -> list[Variant]:
    return [row for row in report.variants if row.pathology == target]


def test_every_other_arm_with_synthetic_images_is_compared_with_plain_gan(report: Report) -> None:
    found = [(row.dataset, row.arm, row.differs) for row in of(report, "Lung Lesion")]
    assert found == [
        ("plain", "gan, synthetic weight 0.5", ()),
        ("plain", "pretrain", ()),
        ("checked", "gan", ("check classifier:0.9",)),
        ("alone", "gan", ("vectors alone",)),
    ]
    assert {row.reference for row in report.variants} == {"plain"}
    assert {row.pathology for row in report.variants} == {
        "Lung Lesion",
        "Pleural Other",
        "Fracture",
    }


def test_a_difference_is_that_of_the_predictions(report: Report, root: Path) -> None:
    row = next(r for r in of(report, "Pleural Other") if r.arm == "pretrain")
    means = []
    for arm in ("pretrain", "gan"):
        aucs = []
        for seed in (0, 1, 2):
            table = pd.read_parquet(root / f"plain/{arm}-seed{seed}/predictions.parquet")
            table = table[table["label:Pleural Other"] >= 0]
            labels, scores = table["label:Pleural Other"], table["probability:Pleural Other"]
            aucs.append(roc_auc_score(labels, scores))
        means.append(np.mean(aucs))
    assert row.value == pytest.approx(means[0] - means[1])
    assert row.low is not None
    assert row.high is not None
    assert row.low < row.value < row.high < 0
    assert (row.verdict, row.holm) == ("worse", 2 * (row.p or 0))
    same = next(r for r in of(report, "Lung Lesion") if r.dataset == "alone")
    assert (same.value, same.verdict) == (0, "no evidence")  # the very same predictions
    fracture = of(report, "Fracture")[0]
    assert fracture.value is None
    assert "are needed" in (fracture.missing or "")


def test_the_first_dataset_that_is_named_has_the_reference(root: Path) -> None:
    report = build_report([root / "alone", root / "plain"], min_positives=10, command="")
    found = [(row.dataset, row.arm, row.differs) for row in of(report, "Lung Lesion")]
    assert found == [("plain", "gan", ("vectors lp",)), ("plain", "pretrain", ("vectors lp",))]
    assert {row.reference for row in report.variants} == {"alone"}


def test_in_one_folder_the_usual_dataset_has_the_reference(root: Path) -> None:
    report = build_report([root], min_positives=10, command="")
    assert {row.reference for row in report.variants} == {"plain"}


@pytest.mark.usefixtures("words_alone")
def test_it_is_in_the_json_and_on_the_page(report: Report, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(to_json(report))
    assert read_report(tmp_path / "report.json").variants == report.variants
    shown = page(report)
    assert "Variants against plain gan" in shown
    assert "vectors alone" in shown


def test_other_real_images_or_early_reports_have_no_variants(
    run_writer: Writer, edit: Edit, tmp_path: Path
) -> None:
    runs = [run_writer(tmp_path, arm, 0) for arm in ("gan", "pretrain")]
    loaded = [load_run(run) for run in runs]
    assert variant_studies(studies(loaded)) == ()
    for run in runs:
        edit(run).set("real", "e" * 64)
    assert len(variant_studies(studies([load_run(run) for run in runs]))) == 1
    assert variant_studies(studies([load_run(runs[1])])) == ()  # no plain gan
    other = run_writer(tmp_path, "gan", 0, dataset="gan10")
    edit(other).set("real", "f" * 64)
    assert variant_studies(studies([load_run(run) for run in (runs[0], other)])) == ()


def test_what_recipes_differ_in_is_said() -> None:
    plain = {"name": "a", "share": "0.15", "generator": "nih64", "generator_sha256": "1" * 64,
             "checks": ["constant:1"], "label_map": []}  # fmt: skip
    other = plain | {"name": "b", "share": "0.05", "label_map": ["Mass=Nodule"], "checks": [],
                     "generator_sha256": "2" * 64, "max_per_real": 9}  # fmt: skip
    assert [*differs(other, plain)] == [
        "share 0.05", "no check constant:1", "label map Mass=Nodule", "generator 22222222",
    ]  # fmt: skip
    assert [*differs(plain | {"vectors": "lp"}, plain)] == []
    named = plain | {"generator": "mine", "generator_sha256": "2" * 64}
    assert [*differs(named, plain)] == ["generator mine"]


def test_what_was_trained_otherwise_is_said(run_writer: Writer, edit: Edit, tmp_path: Path) -> None:
    changes: dict[str, dict[str, object]] = {
        "plain": {"config.init": "a.pth", "config.init_sha256": "1" * 64},
        "rate": {"config.lr": 0.1, "config.init": "b.pth", "config.init_sha256": "1" * 64},
        "start": {"config.init": "a.pth", "config.init_sha256": "2" * 64},
    }
    arms = {}
    for name, fields in changes.items():
        run = edit(run_writer(tmp_path / name, "gan", 0, dataset="plain"))
        for field, value in fields.items():
            run.set(field, value)
        arms[name] = studies([load_run(run.folder)])[0].arms[0]
    assert [*trained_otherwise(arms["rate"], arms["plain"])] == ["lr 0.1"]
    assert [*trained_otherwise(arms["start"], arms["plain"])] == ["init 22222222"]
    assert [*trained_otherwise(arms["plain"], arms["plain"])] == []


def test_the_table_says_so(root: Path, edit: Edit, tmp_path: Path) -> None:
    copy = shutil.copytree(root, tmp_path / "runs")
    for seed in (0, 1, 2):
        edit(copy / f"alone/gan-seed{seed}").set("config.lr", 0.5)
    report = build_report([copy / "plain", copy / "alone"], min_positives=10, command="")
    row = next(row for row in report.variants if row.dataset == "alone")
    assert row.differs == ("vectors alone", "lr 0.5")
