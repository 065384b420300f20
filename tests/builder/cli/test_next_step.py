"""The commands that a recipient is told do what they say."""

import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.cli.next_step import next_step, pack_command
from builder.contract import Manifest, UsageError, load_manifest
from builder.share.lockfile import Own, request_of

Xbuild = Callable[..., subprocess.CompletedProcess[str]]

OWN = Path("a b/manifests/x.json")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def manifest(sealed_once: Path) -> Manifest:
    return load_manifest(sealed_once / "manifests" / "gan100.json")


def synthetic_half(manifest: Manifest) -> Manifest:
    half = tuple(shard for shard in manifest.shardlist if shard.origin == "synthetic")
    return replace(manifest, shardlist=half)


def test_a_real_half_is_rebuilt(manifest: Manifest) -> None:
    demo = replace(manifest, source={"dataset": "demo"})
    assert next_step(demo, OWN) == "xbuild rebuild 'a b/manifests/x.json'"
    nih = replace(manifest, source={"dataset": "nih"})
    assert next_step(nih, OWN).endswith("x.json' --root YOUR-IMAGES")
    table = replace(manifest, source={"dataset": "table"})
    assert next_step(table, OWN).endswith("x.json' --labels YOUR-TABLE --root YOUR-IMAGES")


def test_what_was_merged_is_merged_again(manifest: Manifest) -> None:
    merged = replace(manifest, source={"dataset": "nih", "merged": []})
    assert next_step(merged, OWN).startswith("rebuild each of the datasets")
    half = next_step(synthetic_half(merged), OWN)
    assert "xbuild merge 'a b" not in half  # xbuild merge would refuse it
    assert "xbuild info 'a b/manifests/x.json' names these datasets" in half
    assert "\n  xbuild merge 'a b/manifests/x.json' YOUR-MANIFEST --name both" in next_step(
        synthetic_half(manifest), OWN
    )


def test_what_was_rebuilt_otherwise_is_not_rebuilt(manifest: Manifest) -> None:
    source = {**manifest.source, "rebuilt_from": {"name": "gan1", "digest": "0" * 64}}
    rebuilt = replace(manifest, source=source)
    with pytest.raises(UsageError, match="rebuild that one"):
        request_of(rebuilt, OWN, Own())
    text = next_step(rebuilt, OWN)
    assert "xbuild rebuild" not in text
    assert "xbuild info 'a b/manifests/x.json' names that one" in text
    assert "xbuild merge" in next_step(synthetic_half(rebuilt), OWN)


def test_the_pair_of_nih10_is_packed_for_its_regime() -> None:
    """And docs/sharing.md says the same."""
    nih10 = load_manifest(ROOT / "manifests" / "nih10.json")
    command = pack_command(nih10)
    assert command == (
        "xbuild pack --dataset nih --regime 10 --split hash --seed 0 --holdout 0.05 0.05 "
        "--image-size 128 --root YOUR-IMAGES"
    )
    page = (ROOT / "docs" / "sharing.md").read_text()
    (line,) = re.findall(r"^xbuild pack .*$", page, re.M)
    mine = {*re.findall(r"--[a-z-]+ \S+", line.replace("/data/nih", "YOUR-IMAGES"))}
    assert mine <= {*re.findall(r"--[a-z-]+ \S+", command)}
    assert {"--dataset nih", "--regime 10", "--image-size 128"} <= mine
    assert "\nxbuild merge nih10/manifests/nih10.json manifests/real10.json " in page


def test_what_is_not_usual_is_asked_for_and_quoted(manifest: Manifest) -> None:
    table = {**manifest.recipe["table"], "label_columns": ["A b", "C"], "patient_column": "$(x)"}
    changed = {"table": table, "upsample": True, "depth": 12, "views": "frontal"}
    command = pack_command(replace(manifest, recipe={**manifest.recipe, **changed}))
    words = shlex.split(command)
    for pair in ("--depth 12", "--uncertain mask", "--views frontal", "--upsample"):
        assert f" {pair} " in command
    assert words.count("--label-column") == 2
    assert words[words.index("--label-column") + 1] == "A b"
    assert words[words.index("--patient-column") + 1] == "$(x)"
    assert "--format" not in words
    strange = pack_command(replace(manifest, recipe={"regime": "10\x1b[2J; rm x"}))
    assert "\x1b" not in strange
    assert "rm" not in shlex.split(strange)


def test_the_commands_for_a_synthetic_half_fit_together(
    xbuild: Xbuild, clinic: Path, tmp_path: Path
) -> None:
    """Half of the patients, another seed, PNG: without these options the two are no pair."""
    words = ["synth", "--dataset", "table", "--labels", clinic, "--real", "none", "--workers", 1]
    words += ["--regime", "50", "--seed", 3, "--holdout", "0.1", "0.2", "--uncertain", "mask"]
    words += ["--format", "png", "--image-size", 32, "--target", "Mass", "--share", "0.3"]
    built = xbuild(*words, "--out", tmp_path / "sent")
    assert built.returncode == 0, built.stderr
    path = tmp_path / "sent" / "manifests" / "gan50.json"
    manifest = load_manifest(path)
    pack, merge = re.findall(r"^  xbuild (.*)$", next_step(manifest, path), re.M)
    pack = pack.replace("YOUR-TABLE", str(clinic)).replace("YOUR-IMAGES", str(clinic.parent))
    packed = xbuild(*shlex.split(pack), "--out", tmp_path / "own")
    assert packed.returncode == 0, packed.stderr
    own = tmp_path / "own" / "manifests" / "real50.json"
    merged = xbuild(*shlex.split(merge.replace("YOUR-MANIFEST", str(own))))
    assert merged.returncode == 0, merged.stderr
    both = load_manifest(tmp_path / "sent" / "manifests" / "both.json")
    assert manifest.plan is not None
    assert both.plan is not None
    assert (both.plan.real, both.plan.targets) == (manifest.plan.real, manifest.plan.targets)
