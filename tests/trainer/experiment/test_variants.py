"""An experiment over manifests that differ in vectors, checks and share, from training to page."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from builder.contract import save_manifest
from trainer.cli import main

CHECKS = ["constant:1", f"classifier:0.9:sha256:{'a' * 64}"]


@pytest.mark.slow
def test_manifests_that_differ_are_told_apart_from_training_to_the_page(
    sealer: Callable[..., Any], tmp_path: Path
) -> None:
    """The seal's own recipe says what differs; names say nothing."""
    counts = {("train", "real"): 34, ("val", "real"): 20, ("test", "real"): 24}
    sealed = sealer(tmp_path / "data", counts=counts | {("train", "synthetic"): 14})
    recipes: dict[str, dict[str, object]] = {
        "a": {}, "b": {"vectors": "alone", "checks": CHECKS}, "d": {"share": "0.05"}
    }  # fmt: skip
    base = {"regime": "10", "share": "0.01", "checks": ["constant:1"]}
    plan = sealed.manifest.plan
    for name, changes in recipes.items():
        recipe = base | changes | {"name": name}
        own = plan if name != "d" else replace(plan, share=(5, 100))
        manifest = replace(sealed.manifest, schema=2, name=name, recipe=recipe, plan=own)
        save_manifest(manifest, sealed.path.with_name(f"{name}.json"))
    there = sealer(tmp_path / "there", counts={("train", "real"): 9, ("test", "real"): 40})
    words = ["experiment", *(str(sealed.path.with_name(f"{name}.json")) for name in recipes)]
    words += [f"--out={tmp_path / 'runs'}", "--arm=none", "--arm=gan"]
    words += ["--seeds=1", "--epochs=1", "--batch=16", "--init=random", "--device=cpu"]
    words += ["--network=shufflenet_v2_x0_5", "--workers=1", "--min-positives=2"]
    words += [f"--test={there.path}"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    runs = tmp_path / "runs"
    trained = sorted(str(path.parent.relative_to(runs)) for path in runs.glob("*/*/last.pt"))
    assert trained == ["a/gan-seed0", "a/none-seed0", "b/gan-seed0", "d/gan-seed0"]
    report = json.loads((runs / "report/report.json").read_text())
    differs = {row["dataset"]: row["differs"] for row in report["variants"]}
    assert differs == {
        "b": ["check classifier:0.9", "vectors alone"], "d": ["share 0.05"]
    }  # fmt: skip
    arms = {(row["dataset"], row["arm"]) for row in report["variants"]}
    assert arms == {("b", "gan"), ("d", "gan")}
    (curve, *_) = report["doses"]
    assert [point["dataset"] for point in curve["points"]] == ["a", "d"]
    assert all(len(dataset["external"]) == 1 for dataset in report["datasets"])
    page = (runs / "report/report.html").read_text()
    for said in ("vectors alone", "Dose curve", "Other test sets"):
        assert said in page
