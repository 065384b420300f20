import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trainer.cli import main


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


def test_the_files_hold_the_numbers_of_the_predictions(written: Any):
    path = Path(__file__).with_name("recompute.py")
    spec = importlib.util.spec_from_file_location("recompute", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.faults(json.loads((written[0] / "report.json").read_text())) == []


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


def test_a_folder_without_runs_is_refused(tmp_path: Path):
    done = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert done.exit_code == 2
    assert "holds no complete run of xtrain" in done.output
