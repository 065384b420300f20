"""A build with checks: shares are exact, no garbage is sealed, workers and batches are free."""

import csv
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder.contract import decode_image, load_index, load_manifest

MORE = ["--generator", "broken", "--share", "0.4", "--shard-size", 10]  # the last word counts
Build = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def build(
    broken: Path, small: list[object], xbuild: Build, monkeypatch: pytest.MonkeyPatch
) -> Build:
    """`xbuild synth` of the clinic with the broken generator."""
    monkeypatch.syspath_prepend(broken)
    return lambda *words: xbuild(*small, *MORE, *words)


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".tar", ".idx", ".json", ".parquet", ".csv")
    }


def test_a_fifth_of_garbage_ends_with_the_exact_shares_and_a_report_of_every_reject(
    build: Build, xbuild: Build, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = build("--check", "duplicate", "--out", out, "--workers", 1, "--keep-rejects")
    assert done.returncode == 0, done.stderr
    path = out / "manifests" / "gan100.json"
    manifest = load_manifest(path)
    assert xbuild("verify", path).returncode == 0
    assert not manifest.plan.broken()
    index = load_index(manifest, out)
    rows = np.flatnonzero(index.origin == "synthetic")
    assert len(rows) == manifest.plan.synthetic > 30
    sealed = set()
    for row in rows:
        with (out / index.shard[row]).open("rb") as file:
            file.seek(int(index.offset[row]))
            pixels = decode_image(file.read(int(index.size[row])), manifest.image)
        assert pixels.min() < pixels.max()
        sealed.add(pixels.tobytes())
    assert len(sealed) == len(rows)
    with (out / "gan100-rejected.csv").open() as file:
        rejects = list(csv.DictReader(file))
    reasons = Counter(reject["reason"] for reject in rejects)
    assert reasons == manifest.generator["rejected"]
    assert set(reasons) == {
        "its pixels are all nearly the same",
        "it is a duplicate of an earlier image",
    }
    share = reasons["its pixels are all nearly the same"] / (len(rows) + len(rejects))
    assert 0.05 < share < 0.4
    assert not {reject["key"] for reject in rejects} & set(index.key)
    kept = {file.stem for file in (out / "gan100-rejected").glob("*.png")}
    assert {reject["key"] for reject in rejects} == kept
    assert "Rejected and drawn again" in done.stdout


def test_the_bytes_do_not_depend_on_batch_workers_or_interruptions(
    build: Build, tmp_path: Path
) -> None:
    words = ["--check", "duplicate"]
    assert build(*words, "--out", tmp_path / "one", "--workers", 1).returncode == 0
    assert build(*words, "--out", tmp_path / "two", "--workers", 2, "--batch", 5).returncode == 0
    wanted = files(tmp_path / "one")
    assert files(tmp_path / "two") == wanted
    folder = tmp_path / "two" / "shards" / "gan100"
    (tmp_path / "two" / "manifests" / "gan100.json").unlink()
    shards = sorted(folder.glob("*.tar"))
    assert len(shards) > 1
    shards[0].unlink()
    assert build(*words, "--out", tmp_path / "two", "--batch", 2).returncode == 0
    assert files(tmp_path / "two") == wanted


def test_duplicates_across_parts_are_replaced_when_the_dataset_is_sealed(
    build: Build, tmp_path: Path
) -> None:
    words = ["--check", "duplicate", "--workers", 1]
    assert build(*words, "--out", tmp_path / "one").returncode == 0
    for part in ("2/2", "1/2"):
        made = build(*words, "--out", tmp_path / "two", "--part", part)
        assert made.returncode == 0, made.stderr
    assert files(tmp_path / "two") == files(tmp_path / "one")


def test_a_part_whose_check_needs_all_real_images_says_which_are_missing(
    build: Build, tmp_path: Path
) -> None:
    words = ["--check", "copy:0.4", "--holdout", "0.2", "0.1", "--workers", 1]
    first = build(*words, "--out", tmp_path / "two", "--part", "1/2")
    assert first.returncode == 1
    assert "shards are missing: shards/real/" in first.stderr
    for part in ("2/2", "1/2"):  # the real shards of 1/2 were complete
        made = build(*words, "--out", tmp_path / "two", "--part", part)
        assert made.returncode == 0, made.stderr
    assert build(*words, "--out", tmp_path / "one").returncode == 0
    assert files(tmp_path / "two") == files(tmp_path / "one")


def test_a_build_that_was_refused_can_be_run_with_other_options(
    build: Build, clinic: Path, tmp_path: Path
) -> None:
    """The table has 15 held-out images, and one of them is bad: that is known after packing."""
    out = tmp_path / "out"
    (clinic.parent / "008.jpg").unlink()
    words = ["--out", out, "--workers", 1, "--holdout", "0.2", "0.1", "--skip-bad"]
    refused = build(*words, "--check", "copy:0.07")
    assert refused.returncode == 2
    assert "val has 14: use a larger --holdout, or a larger fraction" in refused.stderr
    assert (out / "shards/gan100/recipe.json").is_file()
    done = build(*words, "--check", "copy:0.4")
    assert done.returncode == 0, done.stderr
    manifest = load_manifest(out / "manifests" / "gan100.json")
    assert manifest.recipe["checks"] == ["constant", "copy:0.4"]


@pytest.mark.parametrize("unfinished", ["first shard", "duplicates"])
def test_killed_between_the_rounds_it_ends_the_same(
    build: Build, tmp_path: Path, unfinished: str
) -> None:
    words = ["--check", "duplicate", "--workers", 1]
    assert build(*words, "--out", tmp_path / "one").returncode == 0
    wanted, out = files(tmp_path / "one"), tmp_path / "two"
    assert build("--workers", 1, "--out", out).returncode == 0  # a first round and no more
    folder = out / "shards" / "gan100"
    (out / "manifests" / "gan100.json").unlink()
    recipe = tmp_path / "one" / "shards" / "gan100" / "recipe.json"
    (folder / "recipe.json").write_bytes(recipe.read_bytes())
    if unfinished == "duplicates":
        note = tmp_path / "one" / "shards" / "gan100" / "duplicates.json"
        (folder / "duplicates.json").write_bytes(note.read_bytes())
    else:
        min(folder.glob("*.tar")).unlink()
    assert build(*words, "--out", out).returncode == 0
    assert files(out) == wanted


def test_a_check_from_another_package_that_nothing_passes_stops_the_build(
    build: Build, tmp_path: Path
) -> None:
    done = build("--check", "never:grey", "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 1
    assert "21 images in a row were rejected" in done.stderr
    assert "because it is too grey" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").rglob("gan100*.json"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--check", "beauty"], "No check is called 'beauty': --check takes classifier, cons"),
        (["--check", "copy:2"], "takes a fraction in (0, 1), got '2'"),
        (["--check", "classifier:absent.safetensors"], "absent.safetensors is missing"),
        (["--check", "constant:1"], "takes no argument"),
        (["--generator-option", "steps"], "takes NAME=VALUE, got 'steps'"),
        (["--generator-option", "steps=4"], "has no option 'steps': it takes none"),
        (["--precision", "bf16"], "has no option 'precision'"),
        (["--generator-option", "precision=bf16"], "the precision is set by --precision"),
        (["--check", "duplicate:1"], "No check is called 'duplicate:1'"),
        (["--check", "copy", "--real", "none"], "looks at real images: use --real pack"),
    ],
)
def test_bad_input_is_one_sentence(
    build: Build, tmp_path: Path, words: list[str], message: str
) -> None:
    done = build(*words, "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
