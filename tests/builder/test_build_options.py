"""Requests beyond the usual: official splits, mapped labels, small images, targets without luck."""

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builder.contract import Index, Manifest, load_index, load_manifest
from builder.engines import jobs

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def loaded(out: Path, name: str) -> tuple[Manifest, Index]:
    manifest = load_manifest(out / "manifests" / f"{name}.json")
    return manifest, load_index(manifest, out)


def rewrite(table: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    with table.open(newline="") as file:
        rows = [change(row) for row in csv.DictReader(file)]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# --- splits ---------------------------------------------------------------------------------------


@pytest.fixture
def published(clinic: Path) -> Path:
    """The clinic's table with a column that puts four patients into val and four into test."""
    words = {**dict.fromkeys(["p00", "p01", "p02", "p03"], "validate")}
    words |= dict.fromkeys(["p04", "p05", "p06", "p07"], "test")
    rewrite(clinic, lambda row: {**row, "Fold": words.get(row["patient"], "train")})
    return clinic


def test_an_official_split_is_sealed_as_it_was_published(
    published: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    out = tmp_path / "out"
    words = ["--dataset", "table", "--labels", published, "--image-size", 32, "--out", out]
    official = [*words, "--split", "official", "--split-column", "Fold"]
    done = xbuild("pack", *official)
    assert done.returncode == 0, done.stderr
    manifest, index = loaded(out, "real100")
    assert manifest.recipe["split"] == "official"
    assert manifest.recipe["table"]["split_column"] == "Fold"
    count = {name: int((index.split == name).sum()) for name in ("train", "val", "test")}
    with published.open(newline="") as file:
        folds = [row["Fold"] for row in csv.DictReader(file)]
    assert count == {
        "train": folds.count("train"),
        "val": folds.count("validate"),
        "test": folds.count("test"),
    }
    done = xbuild("synth", *official, "--regime", 50, "--target", "Mass", "--share", "0.3")
    assert done.returncode == 0, done.stderr
    assert xbuild("verify", out / "manifests" / "gan50.json").returncode == 0
    hashed = xbuild("pack", *words, "--label-column", "Mass", "--holdout", "0.1", "0.1")
    assert hashed.returncode == 2
    assert "was begun with " in hashed.stderr


def test_a_table_too_small_for_its_holdout_is_not_sealed(
    clinic: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    words = ["--dataset", "table", "--labels", clinic, "--out", tmp_path / "out"]
    for command in (["pack"], ["synth", "--target", "Mass"]):
        done = xbuild(*command, *words)
        assert done.returncode == 2
        assert "None of the 24 patients falls into" in done.stderr
    assert not (tmp_path / "out").exists()
    done = xbuild("pack", *words, "--image-size", 32, "--holdout", 0, 0)
    assert done.returncode == 0, done.stderr
    assert "60 training images of regime 100 %, 0 val and 0 test images" in done.stdout


# --- labels of the generator ----------------------------------------------------------------------


def test_a_pathology_that_the_generator_lacks_is_shown_as_another(
    clinic: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    clinic.write_text(clinic.read_text().replace("Mass", "Viral"))
    out = tmp_path / "out"
    words = [
        *("synth", "--dataset", "table", "--labels", clinic, "--holdout", "0.1", "0.1"),
        *("--image-size", 32, "--target", "Viral", "--share", "0.3", "--real", "none"),
    ]
    mapped = ["--label-map", "viral = lung lesion"]
    tars = []
    for workers in (1, 2):
        done = xbuild(*words, *mapped, "--shard-size", 4, "--workers", workers, "--out", out)
        assert done.returncode == 0, done.stderr
        tars.append([path.read_bytes() for path in sorted(out.rglob("*.tar"))])
        out = tmp_path / "other"
    assert tars[0] == tars[1]
    assert len(tars[0]) > 1
    assert "The generator shows Viral as lung lesion." in done.stdout
    manifest, index = loaded(out, "gan100")
    assert manifest.recipe["label_map"] == ["Viral=Lung Lesion"]
    assert manifest.generator["label_map"] == {"Viral": "Lung Lesion"}
    assert (index.labels[:, manifest.pathologies.index("Viral")] == 1).all()
    assert xbuild("verify", out / "manifests" / "gan100.json").returncode == 0
    done = xbuild(*words, "--label-map", "Viral=Gout", "--out", tmp_path / "third")
    assert done.returncode == 2
    assert "the generator phantom has no label 'Gout', it has" in done.stderr
    done = xbuild(*words, "--label-map", "Gout=Lung Lesion", "--out", tmp_path / "third")
    assert "the dataset has no pathology 'Gout', it has Viral" in done.stderr
    assert not (tmp_path / "third").exists()


def test_a_label_that_the_generator_cannot_show_is_said_before_it_is_sealed(
    clinic: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    clinic.write_text(clinic.read_text().replace("Edema", "Gout"))
    out = tmp_path / "out"
    words = [
        *("synth", "--dataset", "table", "--labels", clinic, "--holdout", "0.1", "0.1"),
        *("--image-size", 32, "--target", "Mass", "--share", "0.4", "--real", "none"),
    ]
    done = xbuild(*words, "--out", out)
    assert done.returncode == 0, done.stderr
    manifest, index = loaded(out, "gan100")
    count = int((index.labels[:, manifest.pathologies.index("Gout")] == 1).sum())
    assert 0 < count < index.labels.shape[0]
    said = (
        f"Note: phantom cannot show all labels of the {len(index.labels)} synthetic images. These "
        f"will be labelled with what they do not show: Gout {count}. --vectors alone avoids it.\n"
    )
    assert done.stderr.count(said) == 1
    parted = xbuild(*words, "--part", "1/1", "--out", tmp_path / "part")
    assert parted.stderr.count(said) == xbuild("seal", *words[1:], "--out", out).stderr.count(said)
    assert said in parted.stderr
    for more in (["--vectors", "alone"], ["--label-map", "Gout=Mass"]):
        done = xbuild(*words, *more, "--out", tmp_path / more[1])
        assert done.returncode == 0, done.stderr
        assert "cannot show" not in done.stderr


def test_without_a_map_the_manifest_says_nothing_of_one(built: Path) -> None:
    manifest, _ = loaded(built, "gan100")
    assert manifest.recipe["label_map"] == []
    assert "label_map" not in manifest.generator


# --- sizes ----------------------------------------------------------------------------------------


def test_small_images_are_enlarged_only_where_that_is_asked_for(
    clinic: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    random = np.random.default_rng(0)
    for path in clinic.parent.glob("*.[pj]*g"):
        Image.fromarray(random.integers(0, 255, (40, 48), dtype=np.uint8)).save(path)
    words = ["pack", "--dataset", "table", "--labels", clinic, "--holdout", "0.1", "0.1"]
    words += ["--image-size", 64, "--out", tmp_path / "out"]
    done = xbuild(*words)
    assert done.returncode == 2
    assert "None of the 60 real images can be packed: all for one reason" in done.stderr
    assert "--skip-bad" not in done.stderr
    assert "--upsample" in done.stderr
    done = xbuild(*words, "--upsample")
    assert done.returncode == 0, done.stderr
    assert loaded(tmp_path / "out", "real100")[0].recipe["upsample"] is True


@pytest.mark.parametrize("part", [(), ("--part", "1/2")])
@pytest.mark.parametrize("command", [("synth", "--target", "Mass"), ("pack",)])
def test_more_shards_than_a_manifest_lists_are_refused_before_the_first(
    clinic: Path,
    tmp_path: Path,
    xbuild: Xbuild,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    part: tuple[str, ...],
) -> None:
    monkeypatch.setattr(jobs, "MAX_SHARDS", 6)
    out = tmp_path / "out"
    words = (*command, "--dataset", "table", "--labels", clinic, "--image-size", 32, "--out", out)
    refused = xbuild(*words, "--holdout", 0.1, 0.1, "--shard-size", 1, *part)
    assert refused.returncode == 2
    assert re.search(r"makes \d+ shards, .* may have 6: use --shard-size \d+ or", refused.stderr)
    assert not out.exists()
