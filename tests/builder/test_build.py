"""The whole line on a small clinic: what comes out, and that nothing changes it but the recipe."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from builder.contact_sheet import contact_sheet
from builder.contract import Index, Manifest, load_index, load_manifest, sha256_file

Xbuild = Callable[..., subprocess.CompletedProcess[str]]


def hashes(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): sha256_file(path)
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def loaded(out: Path, name: str = "gan100") -> tuple[Manifest, Index]:
    manifest = load_manifest(out / "manifests" / f"{name}.json")
    return manifest, load_index(manifest, out)


@pytest.fixture
def built(tmp_path: Path, small: list[object], xbuild: Xbuild) -> Path:
    out = tmp_path / "out"
    done = xbuild(*small, "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return out


def test_the_dataset_is_what_was_planned(built: Path) -> None:
    manifest, index = loaded(built)
    plan = manifest.plan
    train = index.split == "train"
    real, synthetic = index.origin == "real", index.origin == "synthetic"
    assert (train & real).sum() == plan.real
    assert synthetic.sum() == plan.synthetic > 0
    assert not (synthetic & ~train).any()
    assert real.sum() == 60
    for target in plan.targets:
        column = manifest.pathologies.index(target.pathology)
        positives = (index.labels[train, column] == 1).sum()
        assert positives == target.positives
        assert 5 * positives >= train.sum()
    assert {s.split for s in manifest.shardlist} == {"train", "val", "test"}
    assert max(s.nsamples for s in manifest.shardlist) <= 16
    assert manifest.digest == sha256_file(built / "manifests" / "gan100.json")


def test_no_path_host_or_clock_is_in_what_is_hashed(built: Path, clinic: Path) -> None:
    text = (built / "manifests" / "gan100.json").read_text()
    for word in (str(clinic.parent), str(built), os.uname().nodename, time.strftime("%Y"), "file:"):
        assert word not in text
    index = pq.read_table(built / "manifests" / "gan100.parquet").to_pandas().to_csv().encode()
    tars = index + b"".join(path.read_bytes() for path in built.rglob("*.tar"))
    assert not [word for word in (b"p07", b"clinic", b"labels.csv") if word in tars]


def test_a_contact_sheet_can_be_drawn(built: Path) -> None:
    manifest, _ = loaded(built)
    sheet = built / "sheet.png"
    contact_sheet(manifest, built / "manifests" / "gan100.json", sheet)
    with Image.open(sheet) as picture:
        assert picture.width > 500


@pytest.mark.parametrize("codec", ["jpg", "png"])
def test_the_same_bytes_for_any_number_of_workers(
    tmp_path: Path, small: list[object], xbuild: Xbuild, codec: str
) -> None:
    for workers in (1, 2, 3):
        done = xbuild(
            *small, "--out", tmp_path / str(workers), "--workers", workers, "--format", codec
        )
        assert done.returncode == 0, done.stderr
    one = hashes(tmp_path / "1")
    assert one == hashes(tmp_path / "2") == hashes(tmp_path / "3")
    assert len(one) > 10


def test_running_again_changes_nothing(built: Path, small: list[object], xbuild: Xbuild) -> None:
    before = hashes(built)
    times = {path: path.stat().st_mtime_ns for path in built.rglob("*.tar")}
    assert xbuild(*small, "--out", built).returncode == 0
    assert hashes(built) == before
    assert times == {path: path.stat().st_mtime_ns for path in built.rglob("*.tar")}


def test_lost_and_damaged_files_are_made_anew(
    built: Path, small: list[object], xbuild: Xbuild
) -> None:
    before = hashes(built)
    tars = sorted(built.rglob("*.tar"))
    tars[0].unlink()
    tars[1].write_bytes(tars[1].read_bytes()[:-700])
    tars[2].with_suffix(".idx").unlink()
    data = bytearray(tars[3].read_bytes())
    data[900] ^= 1  # inside an image: names, sizes and labels stay right
    tars[3].write_bytes(data)
    (built / "manifests" / "gan100.json").unlink()
    (tars[0].parent / ".train-00000.tar.1.tmp").write_bytes(b"left by a killed run")
    assert xbuild(*small, "--out", built).returncode == 0
    assert hashes(built) == before


@pytest.mark.slow
def test_sigkill_at_any_moment_loses_nothing(
    tmp_path: Path, small: list[object], xbuild: Xbuild
) -> None:
    """Killed at random moments, its workers spared: they must end by themselves."""
    words = [*small, "--share", "0.4", "--shard-size", "8"]
    assert xbuild(*words, "--out", tmp_path / "whole").returncode == 0
    out = tmp_path / "killed"
    command = [Path(sys.executable).with_name("xbuild"), *map(str, words), "--out", str(out)]
    seed = random.SystemRandom().randrange(1 << 32)
    moments = random.Random(seed)
    for _ in range(6):
        process = subprocess.Popen(
            [*command, "--workers", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(0.3, 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        manifest = out / "manifests" / "gan100.json"
        assert not manifest.exists() or load_manifest(manifest)
    done = xbuild(*words, "--out", out, "--workers", 2)
    assert done.returncode == 0, (seed, done.stderr)
    assert hashes(out) == hashes(tmp_path / "whole"), seed


def begun(out: Path, *words: str) -> subprocess.Popen[str]:
    """A build of the demo, long enough to be hit, once its first shard is being written."""
    xbuild = str(Path(sys.executable).with_name("xbuild"))
    process = subprocess.Popen(
        [xbuild, "synth", "--dataset", "demo", "--out", str(out), "--workers", "2", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background job ignores Ctrl-C, and so would what it starts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    while not list(out.glob("shards/*/*.tar.*.tmp")):
        assert process.poll() is None
        time.sleep(0.01)
    return process


def test_ctrl_c_is_one_sentence_and_leaves_whole_shards(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = begun(out, "--regime", "10", "--image-size", "224")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip() == "Interrupted; run the same command to go on."
    assert not list(out.rglob("*.tmp"))
    assert not list(out.glob("manifests/*.json"))


@pytest.mark.slow
def test_a_killed_worker_is_one_sentence_and_the_next_run_goes_on(
    tmp_path: Path, xbuild: Xbuild
) -> None:
    out, words = (
        tmp_path / "out",
        ["--regime", "1", "--image-size", "64", "--holdout", ".02", ".02"],
    )
    process = begun(out, *words)
    (temporary, *_) = out.glob("shards/*/*.tar.*.tmp")
    os.kill(int(temporary.name.split(".")[-2]), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "A worker process was killed" in errors
    assert "Traceback" not in errors
    assert xbuild("synth", "--dataset", "demo", "--out", out, *words).returncode == 0
    assert not list(out.rglob("*.tmp"))


def test_the_manifest_does_not_give_the_patients_away(built: Path) -> None:
    """Seed and sha256 of the table are published; the ids are few enough to try them all."""
    manifest, index = loaded(built)
    there = set(index.patient) - {""}
    for words in (
        f"{manifest.recipe['seed']} {manifest.source['labels_sha256']}",
        f"{manifest.recipe['seed']}{manifest.source['labels_sha256']}",
        manifest.source["labels_sha256"],
    ):
        salt = hashlib.blake2b(words.encode(), digest_size=32).digest()
        for i in range(24):
            tried = hashlib.blake2b(f"p{i:02d}".encode(), digest_size=8, key=salt).hexdigest()
            assert tried not in there
    assert len(there) == 24


def test_mended_images_take_the_report_away(
    tmp_path: Path, small: list[object], clinic: Path, xbuild: Xbuild
) -> None:
    image = clinic.parent / "004.jpg"
    whole, out = image.read_bytes(), tmp_path / "out"
    image.unlink()
    assert xbuild(*small, "--out", out).returncode == 1
    assert (out / "gan100-left-out.csv").is_file()
    image.write_bytes(whole)
    assert xbuild(*small, "--out", out).returncode == 0
    assert not (out / "gan100-left-out.csv").exists()


def test_a_link_to_another_disk_is_refused_before_anything_is_made(
    tmp_path: Path, small: list[object], xbuild: Xbuild
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "shards").symlink_to(tmp_path / "disk")
    done = xbuild(*small, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "use --out there" in done.stderr
    assert not list((tmp_path / "disk").iterdir())


def test_nothing_to_render_alone_is_said(
    tmp_path: Path, small: list[object], xbuild: Xbuild
) -> None:
    done = xbuild(*small, "--share", "0.01", "--real", "none", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "nothing to render" in done.stderr
    done = xbuild(*small, "--share", "0.01", "--out", tmp_path / "real")
    assert done.returncode == 0
    manifest, index = loaded(tmp_path / "real")
    assert manifest.plan.synthetic == 0
    assert set(index.origin) == {"real"}


CHANGES = {
    "share": ["--share", "0.25"],
    "seed": ["--seed", "1"],
    "image_size": ["--image-size", "16"],
    "codec": ["--format", "png"],
    "targets": ["--target", "Edema"],
    "codec for another name": ["--name", "other", "--format", "png"],
}


@pytest.mark.parametrize("field", CHANGES)
def test_another_recipe_in_the_same_place_is_refused(
    built: Path, small: list[object], xbuild: Xbuild, field: str
) -> None:
    before = hashes(built)
    done = xbuild(*small, *CHANGES[field], "--out", built)
    assert done.returncode == 2
    assert f"was begun with {field.split()[0]} =" in done.stderr
    assert "Traceback" not in done.stderr
    assert hashes(built) == before


def test_regimes_share_the_real_shards(built: Path, small: list[object], xbuild: Xbuild) -> None:
    before = hashes(built)
    done = xbuild(*small, "--regime", "50", "--target", "Edema", "--out", built)
    assert done.returncode == 0, done.stderr
    after = hashes(built)
    assert {name: after[name] for name in before} == before
    whole, half = loaded(built)[0], loaded(built, "gan50")[0]

    def real(manifest: Manifest) -> list[str]:
        return [s.url for s in manifest.shardlist if (s.origin, s.split) == ("real", "train")]

    assert real(half) == real(whole)[: len(real(half))]
    assert len(real(half)) < len(real(whole))


def test_a_regime_of_ones_own_gets_its_own_training_shards(
    built: Path, small: list[object], xbuild: Xbuild
) -> None:
    done = xbuild(*small, "--regime", "62.5", "--out", built)
    assert done.returncode == 0, done.stderr
    manifest, _ = loaded(built, "gan62_5")
    folders = {(s.split, s.origin): s.url.split("/")[1] for s in manifest.shardlist}
    assert folders == {
        ("train", "real"): "real-62_5",
        ("train", "synthetic"): "gan62_5",
        ("val", "real"): "real",
        ("test", "real"): "real",
    }
    assert xbuild("verify", built / "manifests" / "gan62_5.json").returncode == 0


def test_the_synthetic_half_alone_needs_no_images(
    tmp_path: Path, small: list[object], clinic: Path, xbuild: Xbuild
) -> None:
    for image in clinic.parent.glob("*.[pj]*g"):
        image.unlink()
    done = xbuild(*small, "--real", "none", "--out", tmp_path / "half")
    assert done.returncode == 0, done.stderr
    manifest, index = loaded(tmp_path / "half")
    assert set(index.origin) == {"synthetic"}
    assert manifest.plan.synthetic == len(index)
    assert xbuild("verify", tmp_path / "half" / "manifests" / "gan100.json").returncode == 0


def test_bad_images_stop_the_build_or_are_left_out_with_reasons(
    tmp_path: Path, small: list[object], clinic: Path, xbuild: Xbuild
) -> None:
    folder = clinic.parent
    (folder / "004.jpg").unlink()
    (folder / "006.png").write_bytes(b"no image")
    (folder / "008.jpg").write_bytes((folder / "008.jpg").read_bytes()[:300])
    Image.new("L", (40, 40), 9).save(folder / "010.jpg")
    out = tmp_path / "out"
    done = xbuild(*small, "--out", out)
    assert done.returncode == 1
    assert "4 real images cannot be packed" in done.stderr
    assert "Traceback" not in done.stderr
    report = (out / "gan100-left-out.csv").read_text().splitlines()
    reasons = dict(line.split(",", 1) for line in report[1:])
    assert reasons["004.jpg"] == "missing"
    assert reasons["006.png"] == "neither PNG nor JPEG"
    assert "truncated" in reasons["008.jpg"].lower()
    assert reasons["010.jpg"] == "every pixel is the same"
    assert not list((out / "manifests").glob("*.json"))

    done = xbuild(*small, "--out", out, "--skip-bad")
    assert done.returncode == 0, done.stderr
    manifest, index = loaded(out)
    assert (index.origin == "real").sum() == 56
    assert manifest.source["left_out"] == 4
    assert not manifest.plan.broken()
    assert xbuild("verify", out / "manifests" / "gan100.json").returncode == 0
    before = hashes(out)
    assert xbuild(*small, "--out", out, "--skip-bad").returncode == 0
    assert hashes(out) == before


def test_two_builds_cannot_write_into_one_place(
    tmp_path: Path, small: list[object], xbuild: Xbuild
) -> None:
    import fcntl

    out = tmp_path / "out"
    out.mkdir()
    descriptor = os.open(out, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        done = xbuild(*small, "--out", out)
    finally:
        os.close(descriptor)
    assert done.returncode == 2
    assert "Another xbuild is writing" in done.stderr
    assert not list(out.iterdir())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs to mount a disk")
def test_a_full_disk_is_one_sentence_and_loses_nothing(
    tmp_path: Path, small: list[object], xbuild: Xbuild
) -> None:
    words = [*small, "--image-size", "256"]
    out = tmp_path / "disk"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=900k", "none", str(out)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this sandbox may not mount a small disk")
    try:
        done = xbuild(*words, "--out", out)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(out.rglob("*.tmp"))
        assert not list(out.glob("manifests/*.json"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(out)], check=True)
        assert xbuild(*words, "--out", out).returncode == 0
        assert xbuild(*words, "--out", tmp_path / "whole").returncode == 0
        assert hashes(out) == hashes(tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_dry_run_and_plan_write_nothing(
    tmp_path: Path, small: list[object], xbuild: Xbuild
) -> None:
    done = xbuild(*small, "--out", tmp_path / "none", "--dry-run")
    assert done.returncode == 0
    assert "Pleural_Thickening" in done.stdout
    assert not (tmp_path / "none").exists()
