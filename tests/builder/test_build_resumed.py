"""A build that was interrupted, however, is resumed by the same command and loses nothing."""

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

import pytest

from builder.contract import load_manifest

Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]


def test_running_again_changes_nothing(
    built: Path, small: list[object], xbuild: Xbuild, hashes: Hashes
) -> None:
    before = hashes(built)
    times = {path: path.stat().st_mtime_ns for path in built.rglob("*.tar")}
    assert xbuild(*small, "--out", built).returncode == 0
    assert hashes(built) == before
    assert times == {path: path.stat().st_mtime_ns for path in built.rglob("*.tar")}


def test_lost_and_damaged_files_are_made_again(
    built: Path, small: list[object], xbuild: Xbuild, hashes: Hashes
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
@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.long)])
def test_sigkill_at_any_moment_loses_nothing(
    tmp_path: Path, small: list[object], xbuild: Xbuild, hashes: Hashes, kills: int
) -> None:
    """Killed at random moments, its workers spared: they must end by themselves."""
    words = [*small, "--share", "0.4", "--shard-size", "8"]
    assert xbuild(*words, "--out", tmp_path / "whole").returncode == 0
    out = tmp_path / "killed"
    command = [Path(sys.executable).with_name("xbuild"), *map(str, words), "--out", str(out)]
    seed = random.SystemRandom().randrange(1 << 32)
    moments = random.Random(seed)
    for _ in range(kills):
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
    assert errors.strip() == "Interrupted: run the same command to resume."
    assert not list(out.rglob("*.tmp"))
    assert not list(out.glob("manifests/*.json"))


@pytest.mark.slow
def test_a_killed_worker_is_one_sentence_and_the_next_run_resumes(
    tmp_path: Path, xbuild: Xbuild
) -> None:
    out, words = (
        tmp_path / "out",
        ["--regime", "1", "--image-size", "64", "--holdout", ".005", ".005"],
    )
    process = begun(out, *words)
    (temporary, *_) = out.glob("shards/*/*.tar.*.tmp")
    os.kill(int(temporary.name.split(".")[-2].split("-")[0]), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "A worker process was killed" in errors
    assert "Traceback" not in errors
    assert xbuild("synth", "--dataset", "demo", "--out", out, *words).returncode == 0
    assert not list(out.rglob("*.tmp"))


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs to mount a disk")
def test_a_full_disk_is_one_sentence_and_loses_nothing(
    tmp_path: Path, small: list[object], xbuild: Xbuild, hashes: Hashes
) -> None:
    words = [*small, "--image-size", "256", "--upsample"]
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
