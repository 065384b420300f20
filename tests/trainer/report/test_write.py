import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from trainer.cli import main
from trainer.report import read_report
from trainer.report.write import write_report


@pytest.fixture(scope="module")
def written(run_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a report, and what was said."""
    out = tmp_path_factory.mktemp("out") / "report"
    done = CliRunner().invoke(main, ["report", str(run_folders), f"--out={out}"])
    assert done.exit_code == 0, done.output
    return out, done.output


def test_four_files_say_the_same(written: tuple[Path, str]) -> None:
    out, said = written
    assert sorted(p.name for p in out.iterdir()) == [
        "report.html", "report.json", "report.md", "report.tex",
    ]  # fmt: skip
    facts = json.loads((out / "report.json").read_text())
    sentence = facts["datasets"][0]["conclusions"][0]["sentence"]
    assert sentence in said
    assert sentence in (out / "report.md").read_text()
    value = facts["datasets"][0]["arms"][0]["pathologies"]["Lung Lesion"]["auc"]["value"]
    for name in ("report.html", "report.md", "report.tex"):
        assert f"{value:.3f}" in (out / name).read_text()


def test_missing_pictures_are_a_note(written: tuple[Path, str]) -> None:
    out, said = written
    assert "Note: gan1: no pictures of images, because the dataset cannot be read" in said
    assert "no pictures of images" in (out / "report.html").read_text()


def test_the_report_is_what_was_written(run_folders: Path, tmp_path: Path) -> None:
    found = write_report([run_folders / "gan10"], tmp_path, min_positives=10, command="again")
    assert read_report(tmp_path / "report.json") == found
    assert found.command == "again"


def test_the_bar_can_be_raised(run_folders: Path, tmp_path: Path) -> None:
    words = ["report", str(run_folders / "gan10"), f"--out={tmp_path}", "--min-positives=110"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    facts = json.loads((tmp_path / "report.json").read_text())
    assert facts["settings"]["min_positives"] == 110
    said = "no figure below 110 positive test images: Pleural Other (109), Fracture (3)"
    assert said in done.output


def test_a_runs_own_folder_is_not_written_over(run_folders: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folders / "gan1" / "gan-seed0", run)
    (run / "last.pt").touch()
    done = CliRunner().invoke(main, ["report", str(run), f"--out={run}"])
    assert done.exit_code == 2
    assert "is the folder of a run: choose another --out." in done.output


def test_a_path_may_hold_any_bytes(run_folders: Path, tmp_path: Path) -> None:
    out = os.fsencode(tmp_path) + b"/r\xff"
    words = ["report", str(run_folders / "gan10"), f"--out={os.fsdecode(out)}"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert len([*Path(os.fsdecode(out)).iterdir()]) == 4


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert done.exit_code == 2
    assert "holds no complete run of xtrain" in done.output
