"""docs/notebook.ipynb runs from its first cell to its last, and is committed without pictures."""

import json
import os
import shutil
from pathlib import Path

import pytest

from builder.contract import load_manifest

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs/notebook.ipynb"
NOTEBOOK = json.loads(PATH.read_text())
MAX_BYTES = 40_000
PROGRAMS = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_it_is_small_and_its_outputs_are_text() -> None:
    assert PATH.stat().st_size < MAX_BYTES
    outputs = [output for cell in PROGRAMS for output in cell["outputs"]]
    assert outputs
    assert {kind for output in outputs for kind in output.get("data", {})} <= {"text/plain"}
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result"}
    assert "/home/" not in PATH.read_text()
    assert str(ROOT) not in PATH.read_text()


def test_its_cells_ran_in_order() -> None:
    assert [cell["execution_count"] for cell in PROGRAMS] == [*range(1, len(PROGRAMS) + 1)]


def test_it_shows_the_lock_file_as_it_is() -> None:
    manifest = load_manifest(ROOT / "manifests/gan1.json")
    (shown,) = (
        "".join(output["text"])
        for cell in PROGRAMS
        for output in cell["outputs"]
        if "digest" in "".join(output.get("text", ""))
    )
    assert f"digest {manifest.digest[:12]}…" in shown
    for shard in manifest.shardlist:
        assert f"{shard.url} " in shown
        assert f" {shard.nsamples:,} images {shard.filesize:11,} bytes" in shown


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # of the kernel's client
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = (pytest.importorskip(name) for name in ("nbclient", "nbformat"))
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    (tmp_path / "docs").mkdir()
    for name, value in {"CUDA_VISIBLE_DEVICES": "", "JUPYTER_RUNTIME_DIR": str(tmp_path)}.items():
        monkeypatch.setitem(os.environ, name, value)
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    resources = {"metadata": {"path": str(tmp_path / "docs")}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert "5 shards verified" in printed
    assert printed.count("test AUC") == 3
    assert (tmp_path / "build/notebook/runs/gan/report.md").is_file()
