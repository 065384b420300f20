import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from trainer.cli import main
from trainer.report.build_report import across


@pytest.fixture(scope="module")
def written(run_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a report, and what was said."""
    out = tmp_path_factory.mktemp("out") / "report"
    done = CliRunner().invoke(main, ["report", str(run_folders), f"--out={out}"])
    assert done.exit_code == 0, done.output
    return out, done.output


def test_four_files_say_the_same(written: Any):
    out, said = written
    assert sorted(p.name for p in out.iterdir()) == [
        "report.html", "report.json", "report.md", "report.tex",
    ]  # fmt: skip
    facts = json.loads((out / "report.json").read_text())
    sentence = facts["datasets"][0]["conclusions"][0]["sentence"]
    assert sentence in said
    assert sentence.split(": ")[1][:20] in (out / "report.md").read_text()
    value = facts["datasets"][0]["arms"][0]["pathologies"]["Lung Lesion"]["auc"]["value"]
    for name in ("report.html", "report.md", "report.tex"):
        assert f"{value:.3f}" in (out / name).read_text()


def test_missing_pictures_are_a_note(written: Any):
    out, said = written
    assert "Note: gan1: no pictures of images, for the dataset cannot be read" in said
    assert "no pictures of images" in (out / "report.html").read_text()


@pytest.fixture(scope="module")
def faults() -> Callable[[Any], list[str]]:
    path = Path(__file__).with_name("recompute.py")
    spec = importlib.util.spec_from_file_location("recompute", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.faults


def test_the_files_hold_the_numbers_of_the_predictions(written: Any, faults: Any):
    assert faults(json.loads((written[0] / "report.json").read_text())) == []


@pytest.fixture(scope="module")
def unread(run_writer: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """JSON of a report on two runs, one of which did not read every image."""
    root = tmp_path_factory.mktemp("unread")
    run_writer(root, "none", 0)
    path = run_writer(root, "gan", 0) / "predictions.parquet"
    table = pd.read_parquet(path)
    labels = [name for name in table if name.startswith("label:")]
    table.loc[:99, labels] = -1
    table.to_parquet(path)
    return json.dumps(across([root], min_positives=10, command=""))


def test_images_that_a_run_did_not_read_count_for_none(unread: str, faults: Any):
    assert faults(json.loads(unread)) == []


def test_curves_and_subgroups_are_recomputed_too(unread: str, faults: Any):
    (dataset,) = (facts := json.loads(unread))["datasets"]
    arm = dataset["arms"][0]["pathologies"]["Lung Lesion"]
    arm["roc"][50] += 0.01
    arm["reliability"][1]["images"] += 1
    arm["reliability"][2]["observed"] += 0.01
    row = next(r for r in dataset["subgroups"] if r["pathology"] == "Lung Lesion")
    row["auc"]["gan"]["value"] += 1e-6
    row["differences"][0]["value"] += 1e-6
    row["positives"] += 1
    said = " ".join(faults(facts))
    for words in ("ROC, point 50", "bin 2 images", "bin 3 observed", "ap Lung Lesion gan AUC",
                  "ap Lung Lesion gan - none", "ap Lung Lesion positives"):  # fmt: skip
        assert f"{words}: the report says" in said
    assert said.count("the report says") == 6


def test_a_difference_without_p_is_recomputed_without(unread: str, faults: Any):
    facts = json.loads(unread)
    row = facts["datasets"][0]["comparisons"][0]
    row |= dict.fromkeys(("low", "high", "error", "degrees", "seed_share", "p", "holm"))
    row["value"] += 1
    said = [words for words in faults(facts) if "Holm" not in words]
    assert len(said) == 1, said
    assert "gan - none Lung Lesion: the report says" in said[0]


def test_the_bar_can_be_raised(run_folders: Path, tmp_path: Path):
    words = ["report", str(run_folders / "gan10"), f"--out={tmp_path}", "--min-positives=110"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    facts = json.loads((tmp_path / "report.json").read_text())
    assert facts["settings"]["min_positives"] == 110
    assert "no figure below 110 positives in test: Pleural Other (109), Fracture (3)" in done.output


def test_a_runs_own_folder_is_not_written_over(run_folders: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(run_folders / "gan1" / "gan-seed0", run)
    (run / "last.pt").touch()
    done = CliRunner().invoke(main, ["report", str(run), f"--out={run}"])
    assert done.exit_code == 2
    assert "is a run's own folder: choose another --out." in done.output


def test_a_path_may_hold_any_bytes(run_folders: Path, tmp_path: Path):
    out = os.fsencode(tmp_path) + b"/r\xff"
    words = ["report", str(run_folders / "gan10"), f"--out={os.fsdecode(out)}"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert len([*Path(os.fsdecode(out)).iterdir()]) == 4


def test_a_folder_without_runs_is_refused(tmp_path: Path):
    done = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert done.exit_code == 2
    assert "holds no complete run of xtrain" in done.output
