import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import load_manifest
from builder.verify import verify

Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]


@pytest.fixture
def sent(tmp_path: Path, sealed_once: Path) -> Path:
    """A manifest with its index, in the home of somebody else."""
    folder = tmp_path / "home" / "manifests"
    folder.mkdir(parents=True)
    for ending in ("json", "parquet"):
        shutil.copy(sealed_once / "manifests" / f"gan100.{ending}", folder)
    return folder / "gan100.json"


def test_what_one_sent_another_rebuilds(
    sent: Path, clinic: Path, sealed_once: Path, xbuild: Xbuild, hashes: Hashes
) -> None:
    done = xbuild("rebuild", sent, "--labels", clinic, "--root", clinic.parent, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("Note: ") for line in done.stderr.splitlines())
    digest = load_manifest(sealed_once / "manifests" / "gan100.json").digest
    assert f"each with the sha256 that was sealed (digest {digest})." in done.stdout
    there, here = hashes(sealed_once / "shards"), hashes(sent.parents[1] / "shards")
    assert here == there
    done = xbuild("rebuild", sent, "--labels", clinic)
    assert done.stdout.endswith("shards, here already as sealed.\n")


def test_another_place_gets_manifest_and_index(
    sent: Path, clinic: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    done = xbuild("rebuild", sent, "--labels", clinic, "--out", tmp_path / "third")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "third" / "manifests" / "gan100.json"
    assert path.read_bytes() == sent.read_bytes()
    assert list(verify(path)) == []
    assert not (sent.parents[1] / "shards").exists()


def test_other_images_are_listed_and_anyway_seals_them_under_another_name(
    sent: Path, clinic: Path, xbuild: Xbuild
) -> None:
    shutil.copy(clinic.parent / "003.png", clinic.parent / "006.png")
    done = xbuild("rebuild", sent, "--labels", clinic)
    assert done.returncode == 1
    assert "cannot be rebuilt here: 1 difference: real-" in done.stderr
    done = xbuild("rebuild", sent, "--labels", clinic, "--anyway")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1].startswith("real-")
    assert "gan100-rebuilt.json: " in done.stdout
    assert "gan100-differences.txt" in done.stdout
    assert list(verify(sent.with_name("gan100-rebuilt.json"))) == []


def test_what_is_different_from_the_start_is_refused_by_name(
    sent: Path, clinic: Path, xbuild: Xbuild
) -> None:
    raw = json.loads(sent.read_text())
    raw["software"]["pillow"] = "1.0"
    sent.write_text(json.dumps(raw, indent=2) + "\n")
    done = xbuild("rebuild", sent, "--labels", clinic)
    assert done.returncode == 2
    assert "pillow is 1.0 there and " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = xbuild("rebuild", sent, "--labels", clinic, "--anyway")
    assert done.returncode == 0
    assert "Note: pillow is 1.0 there and " in done.stderr
    assert "each with the sha256 that was sealed" in done.stdout


@pytest.mark.parametrize(
    ("field", "value"),
    [("regime", "1/0"), ("share", "1/0"), ("holdout", ["a", "b"]), ("seed", 10**70)],
)
def test_a_strangers_recipe_is_one_sentence(
    sent: Path, clinic: Path, xbuild: Xbuild, field: str, value: object
) -> None:
    raw = json.loads(sent.read_text())
    raw["recipe"][field] = value
    sent.write_text(json.dumps(raw, indent=2) + "\n")
    for words in ((), ("--anyway",)):
        done = xbuild("rebuild", sent, "--labels", clinic, *words)
        assert done.returncode == 1
        assert "its recipe is refused" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_strangers_regular_expression_is_repeated_by_the_user(
    clinic: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    names = [line.split(",")[0] for line in clinic.read_text().splitlines()[1:]]
    lines = [f"{name},{int(i % 7 == 0)},{i % 2}" for i, name in enumerate(names)]
    clinic.write_text("\n".join(["image,Mass,Edema", *lines]))
    pattern, out = r"([0-9]{3})\.", tmp_path / "out"
    words = ("--labels", clinic, "--patient-pattern", pattern)
    done = xbuild("pack", "--dataset", "table", *words, "--image-size", 32, "--out", out)
    assert done.returncode == 0, done.stderr
    sent = tmp_path / "real100.json"
    shutil.copy(out / "manifests" / "real100.json", sent)
    refused = xbuild("rebuild", sent, "--labels", clinic)
    assert refused.returncode == 2
    assert f"add --patient-pattern {shlex.quote(pattern)} if it is harmless" in refused.stderr
    done = xbuild("rebuild", sent, *words)
    assert done.returncode == 0, done.stderr


def test_a_missing_table_or_manifest_is_one_sentence(sent: Path, xbuild: Xbuild) -> None:
    for words in ([sent], [sent, "--labels", "none.csv"], [sent.with_name("none.json")]):
        done = xbuild("rebuild", *words)
        assert done.returncode in (1, 2)
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_folder_of_images_that_is_meant_for_others_does_not_disturb_the_demo(
    demo_half: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, xbuild: Xbuild
) -> None:
    monkeypatch.setenv("XBUILD_ROOT", str(tmp_path))
    done = xbuild("rebuild", demo_half)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def demo_half(tmp_path: Path, xbuild: Xbuild) -> Path:
    done = xbuild(
        *("synth", "--dataset", "demo", "--real", "none", "--regime", 1, "--image-size", 16),
        *("--target", "Fracture", "--share", "0.05", "--shard-size", 10, "--out", tmp_path / "d"),
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "d" / "shards")
    return tmp_path / "d" / "manifests" / "gan1.json"


def test_a_killed_rebuild_is_resumed(
    sent: Path, clinic: Path, xbuild: Xbuild, hashes: Hashes, sealed_once: Path
) -> None:
    command = [Path(sys.executable).with_name("xbuild"), "rebuild", sent, "--labels", clinic]
    process = subprocess.Popen([*map(str, command), "--workers", "1"], start_new_session=True)
    room = sent.parents[1] / ".rebuild-gan100"
    deadline = time.monotonic() + 60
    while not list(room.glob("shards/real/*.tar")) and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(room.glob("shards/real/*.tar"))  # it was killed in between
    assert not list(sent.parents[1].glob("shards/*/*.tar"))
    done = xbuild("rebuild", sent, "--labels", clinic)
    assert done.returncode == 0, done.stderr
    assert hashes(sent.parents[1] / "shards") == hashes(sealed_once / "shards")
    assert not room.exists()


@pytest.mark.slow
def test_halves_are_merged_and_the_shares_are_told(
    clinic: Path, tmp_path: Path, xbuild: Xbuild
) -> None:
    for name, target in (("mass", "Mass"), ("pleura", "Pleural_Thickening")):
        done = xbuild(
            *("synth", "--dataset", "table", "--labels", clinic, "--image-size", 32),
            *("--target", target, "--share", "0.2", "--holdout", "0.1", "0.1"),
            *("--real", "none", "--name", name, "--out", tmp_path),
        )
        assert done.returncode == 0, done.stderr
    paths = [tmp_path / "manifests" / f"{name}.json" for name in ("mass", "pleura")]
    done = xbuild("merge", *paths, "--name", "both")
    assert done.returncode == 2
    assert "Together the targets miss their share of 20.00%" in done.stderr
    for share in ("0", "1", "x"):
        assert xbuild("merge", *paths, "--name", "both", "--share", share).returncode == 2
    done = xbuild("merge", *paths, "--name", "both", "--share", "0.1")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "manifests" / "both.json"
    assert done.stdout.startswith(f"Sealed {path}: ")
    assert "Mass " in done.stdout
    assert xbuild("verify", path).returncode == 0
    done = xbuild("rebuild", path, "--labels", clinic)
    assert "2 shards, here already" in done.stdout
    shutil.rmtree(tmp_path / "shards")
    done = xbuild("rebuild", path, "--labels", clinic)
    assert (done.returncode, "use xbuild merge" in done.stderr) == (2, True)
