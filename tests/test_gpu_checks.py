"""`make gpu` works without a GPU: what one would add is listed as not run."""

import json
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks/gpu"
RUN = FOLDER / "run.py"
HANG = "import time; print('begun', flush=True); time.sleep(60)"


def test_checks_end_in_a_page_and_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    words = ["--check", "card", "--check", "render", "--out", str(tmp_path)]
    command = [sys.executable, str(RUN), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert [check["name"] for check in record["checks"]] == ["card", "render"]
    findings = [finding for check in record["checks"] for finding in check["findings"]]
    assert not any(finding["passed"] is False for finding in findings)
    assert {f["found"] for f in findings if "bits of Pillow" in f["line"]} == {"yes"}
    page = (tmp_path / "gpu.md").read_text()
    left = [finding["line"] for finding in findings if not finding["ran"]]
    assert len(left) >= 4  # the card, float32 and TF32 on it, too little memory
    assert all(f"| {line} |" in page for line in left)
    assert "nothing here says how a GPU does" in page
    assert record["gpu"] is False


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What run.py defines; its paths and modules are forgotten afterwards."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    yield runpy.run_path(str(RUN), run_name="checks")
    for file in FOLDER.glob("*.py"):
        sys.modules.pop(file.stem, None)


def test_failed_and_hanging_checks_are_said_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: dict[str, Any]
) -> None:
    def wrong(_: object) -> Iterator[object]:
        yield command["Finding"](line="right", found="no", passed=False)
        raise ValueError("a broken check")

    def hanging(scene: Any) -> Iterator[object]:
        scene._finished([sys.executable, "-c", HANG])
        yield from ()

    def ending(scene: Any) -> Iterator[object]:
        scene._finished([sys.executable, "-c", "import sys; sys.exit('no memory')"])
        yield from ()

    def well(_: object) -> Iterator[object]:
        yield command["Finding"](line="last", found="reached", passed=True)

    checks = {"wrong": wrong, "hanging": hanging, "ending": ending, "well": well}
    monkeypatch.setitem(sys.modules, "invented", SimpleNamespace(**checks))
    command["CHECKS"].clear()
    command["CHECKS"].update({name: f"invented.{name}" for name in checks})
    monkeypatch.setattr(sys, "argv", ["run.py", "--limit", "1", "--out", str(tmp_path)])
    begun = time.monotonic()
    assert command["main"]() == 1
    assert time.monotonic() - begun < 30
    page = (tmp_path / "gpu.md").read_text()
    assert "| right | no | **failed** |" in page
    assert "| it ended early | ValueError: a broken check | **failed** |" in page
    assert "| it ended early | still running after 1 s, and was ended | **failed** |" in page
    assert "| it ended early | exit code 1: no memory | **failed** |" in page
    assert "| last | reached | passed |" in page
    assert "5 lines: 4 failed, 0 not run" in page


def test_a_command_is_stopped_at_its_sign_and_not_when_it_failed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: dict[str, Any]
) -> None:
    sign = tmp_path / "sign"
    words = f"from pathlib import Path; import time; Path({str(sign)!r}).touch(); time.sleep(60)"
    monkeypatch.setattr(command["Scene"], "command", lambda *words: [sys.executable, *words[2:]])
    scene = command["Scene"](gpu=False, folder=tmp_path, limit=20)
    assert scene.stopped("xbuild", "-c", words, at=sign.exists) == -9
    with pytest.raises(command["FailedError"], match="was to be stopped, and failed: exit code 3"):
        scene.stopped("xbuild", "-c", "raise SystemExit(3)", at=lambda: False)
    with pytest.raises(command["FailedError"], match="ended before it could be stopped"):
        scene.stopped("xbuild", "-c", "", at=lambda: False)
