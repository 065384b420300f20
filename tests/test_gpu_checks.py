"""`make gpu` works without a GPU: what one would add is listed as not run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "benchmarks/gpu/run.py"


def test_checks_end_in_a_page_and_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    command = [sys.executable, RUN, "--check", "card", "--check", "render", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert [check["check"] for check in record["checks"]] == ["card", "render"]
    findings = [finding for check in record["checks"] for finding in check["findings"]]
    assert not any(finding["passed"] is False for finding in findings)
    assert {f["found"] for f in findings if "bits of Pillow" in f["line"]} == {"yes"}
    page = (tmp_path / "gpu.md").read_text()
    left = [finding["line"] for finding in findings if not finding["ran"]]
    assert len(left) >= 4  # the card, float32 and TF32 on it, too little memory
    assert all(f"| {line} |" in page for line in left)
    assert "nothing here says how a GPU does" in page
    assert record["gpu"] is False
