import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import Index, Manifest, UsageError
from builder.share.describe import diff_text, find_manifest, info_text


def test_info_says_what_it_is(sealed: Path, manifest: Manifest) -> None:
    text = info_text(sealed / "manifests" / "gan100.json")
    assert manifest.plan is not None
    assert manifest.digest in text
    assert f"{manifest.plan.synthetic:,} synthetic" in text
    assert "phantom, 32 pixels" in text
    for name in manifest.pathologies:
        assert name in text
    target = manifest.plan.targets[0]
    row = next(line for line in text.splitlines() if line.startswith(f"{target.pathology} *"))
    assert row.split()[2:] == [
        f"{target.real_positives}",
        f"{target.real_positives / manifest.plan.real:.2%}",
        f"{target.positives}",
        f"{target.share:.2%}",
    ]


def test_info_fits_into_a_hundred_columns(
    sealed_once: Path, shared_once: Path, nih_once: tuple[Manifest, Index, Path]
) -> None:
    for path in (sealed_once / "manifests" / "gan100.json", shared_once, nih_once[2]):
        lines = [line for line in info_text(path).splitlines() if not line.startswith("from")]
        assert max(map(len, lines)) <= 100


def test_info_of_a_release_is_that_of_its_manifest(shared_once: Path, manifest: Manifest) -> None:
    text = info_text(shared_once)
    assert manifest.digest in text
    assert "The other 1 pathologies: see its README.md." in text
    assert "real ones are never sent" in text


def test_a_lock_file_alone_is_described(tmp_path: Path, sealed_once: Path) -> None:
    path = tmp_path / "gan100.json"
    shutil.copy(sealed_once / "manifests" / "gan100.json", path)
    assert "The other 1 pathologies: its index is not here." in info_text(path)


def test_a_folder_means_its_manifest(shared_once: Path, tmp_path: Path) -> None:
    assert find_manifest(shared_once) == shared_once / "manifests" / "gan100.json"
    with pytest.raises(UsageError, match="has 0 manifests"):
        find_manifest(tmp_path)


Change = Callable[[dict[str, object]], None]


@pytest.fixture
def other(tmp_path: Path, sealed_once: Path) -> Callable[[Change], Path]:
    """The manifest after a change of its JSON."""

    def make(change: Change) -> Path:
        raw = json.loads((sealed_once / "manifests" / "gan100.json").read_text())
        change(raw)
        path = tmp_path / "other.json"
        path.write_text(json.dumps(raw))
        return path

    return make


def test_the_same_dataset_differs_in_nothing(sealed_once: Path, shared_once: Path) -> None:
    text = diff_text(sealed_once / "manifests" / "gan100.json", shared_once)
    assert text.startswith("Both are the same dataset, gan100 (digest ")


def test_each_field_of_a_recipe_is_named_as_its_option(
    sealed_once: Path, other: Callable[[Change], Path]
) -> None:
    def change(raw: dict[str, dict[str, object]]) -> None:
        raw["recipe"]["table"] = {"image_column": "Path", "label_columns": ["a"]}
        raw["recipe"] |= {"codec": "png", "regime": "10", "targets": ["Mass"], "new": 1}
        raw["recipe"].pop("seed")
        raw["software"]["numpy"] = "1.0"

    text = diff_text(sealed_once / "manifests" / "gan100.json", other(change))
    lines = [line.strip() for line in text.splitlines()]
    assert "--format: jpg → png" in lines
    assert "--regime: 100 → 10" in lines
    assert "--target: Mass, Pleural_Thickening → Mass" in lines
    assert "--seed: 0 → (not there)" in lines
    assert "--new: (not there) → 1" in lines
    assert "--image-column: (not there) → Path" in lines
    assert "--label-column: (none) → a" in lines
    assert any(line.startswith("numpy: ") and line.endswith("→ 1.0") for line in lines)
    assert "software" in lines
    assert "plan" not in lines


def test_what_a_set_was_made_from_is_told_and_compared(
    sealed_once: Path, other: Callable[[Change], Path]
) -> None:
    def change(raw: dict[str, dict[str, object]]) -> None:
        raw["source"]["merged"] = [{"name": "a", "digest": "0" * 64}]
        raw["plan"]["lower_bound"] = 0

    path = other(change)
    assert "made         merged from a (000000000000)" in info_text(path)
    assert "are needed" not in info_text(path)
    text = diff_text(sealed_once / "manifests" / "gan100.json", path)
    assert f"name a, digest {'0' * 64}" in text


def test_targets_alone_are_said_and_compared_with_what_is_usual(
    sealed_once: Path, other: Callable[[Change], Path]
) -> None:
    def change(raw: dict[str, dict[str, object]]) -> None:
        raw["recipe"]["vectors"] = "alone"

    usual, path = sealed_once / "manifests" / "gan100.json", other(change)
    assert "each synthetic image has its target alone" in info_text(path)
    assert "labels" not in [line.split()[0] for line in info_text(usual).splitlines() if line]
    assert "  --vectors: lp → alone" in diff_text(usual, path).splitlines()
    assert "--vectors" not in diff_text(usual, other(lambda raw: raw.update(name="x")))


def test_targets_and_shards_are_compared_by_name(
    sealed_once: Path, other: Callable[[Change], Path]
) -> None:
    def change(raw: dict[str, list[dict[str, object]]]) -> None:
        raw["plan"]["targets"][0]["positives"] += 1
        raw["shardlist"][-1]["sha256"] = "0" * 64
        raw["index"]["sha256"] = "1" * 64

    text = diff_text(sealed_once / "manifests" / "gan100.json", other(change))
    assert "targets.Mass.positives: " in text
    assert "real shards: " in text
    assert "of which" in text
    assert "index: " in text
    assert "synthetic shards" not in text


def test_long_values_stand_on_lines_of_their_own(
    sealed_once: Path, other: Callable[[Change], Path]
) -> None:
    def change(raw: dict[str, dict[str, object]]) -> None:
        raw["recipe"]["labels_sha256"] = "0" * 64

    text = diff_text(sealed_once / "manifests" / "gan100.json", other(change))
    assert "  --labels (its sha256):\n    A  " in text
    assert max(map(len, text.splitlines())) <= 100
