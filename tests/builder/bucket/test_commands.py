"""Commands that read a dataset read it from a bucket, or say in one sentence that they do not."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from builder.cli import main
from builder.contract import CheckError, UsageError
from builder.store import OutOfReach

Inside = Callable[..., None]
Proxy = Any  # of the fixture
Files = Any  # fsspec has no types

TAR = "shards/gan100/train-00000-of-00001.tar"


@pytest.fixture
def manifest(
    place: str, s3: Files, built_once: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """A dataset in the bucket; the current folder is an empty one."""
    s3.put(f"{built_once}/shards", f"{place}/shards", recursive=True)
    s3.put(f"{built_once}/manifests", f"{place}/manifests", recursive=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return f"{place}/manifests/gan100.json"


def test_verify_reads_every_byte_and_keeps_none(
    manifest: str, inside: Inside, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    inside("verify", manifest)
    said = capsys.readouterr().out
    assert "OK: 72 samples in 8 shards are as s3://" in said
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_verify_names_every_fault(
    manifest: str,
    place: str,
    inside: Inside,
    s3: Files,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also one of a shard whose size is right, and that a build took for complete."""
    data = s3.cat_file(f"{place}/{TAR}")
    s3.pipe_file(f"{place}/{TAR}", bytes([data[0] ^ 1]) + data[1:])
    s3.rm_file(f"{place}/shards/real/val-00000-of-00001.tar")
    s3.rm_file(f"{place}/shards/real/test-00000-of-00001.idx")
    s3.pipe_file(f"{place}/shards/real/train-00000-of-00005.tar", b"short")
    with pytest.raises(CheckError, match=r"gan100\.json: 4 faults"):
        inside("verify", manifest)
    said = capsys.readouterr().err
    for fault in (
        f"The file {TAR} at {place} is not the sealed one: its sha256 differs",
        "Cannot fetch shards/real/val-00000-of-00001.tar",
        "Cannot fetch shards/real/test-00000-of-00001.idx",
        "train-00000-of-00005.tar from s3://",
    ):
        assert fault in said


def test_a_network_that_is_lost_is_no_fault_of_the_dataset(
    manifest: str, inside: Inside, proxy: Proxy
) -> None:
    proxy.faults = [("GET", TAR, "503")] * 99
    with pytest.raises(OutOfReach, match="check the network and start again"):
        inside("verify", manifest)


def test_info_and_diff_read_the_manifest(
    manifest: str, inside: Inside, built_once: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside("info", manifest)
    assert "47 real for training, 12 synthetic" in capsys.readouterr().out
    inside("diff", manifest, built_once / "manifests" / "gan100.json")
    assert "Both are the same dataset" in capsys.readouterr().out


def test_preview_fetches_the_shards_that_it_draws_from(
    manifest: str, inside: Inside, proxy: Proxy
) -> None:
    proxy.asked.clear()
    inside("preview", manifest)
    assert Path("gan100-preview.png").is_file()
    fetched = {path for method, path in proxy.asked if method == "GET" and ".tar" in path}
    assert not any("/val-" in path or "/test-" in path for path in fetched)


def test_view_makes_a_gallery_here(manifest: str, inside: Inside) -> None:
    inside("view", manifest)
    assert Path("galleries/gan100/index.html").is_file()


def test_share_takes_the_synthetic_half_from_there(manifest: str, inside: Inside) -> None:
    words = {
        **{"license": "cc-by-4.0", "creator": "A group", "contact": "a@example.org"},
        **{"intended-use": "Research.", "source-terms": "They stay.", "date": "2026-11-29"},
    }
    said = [word for name, text in words.items() for word in (f"--{name}", text)]
    inside("share", manifest, "--to", "release", *said)
    assert Path("release/SHA256SUMS").is_file()


def test_a_manifest_that_is_not_there_is_one_sentence(manifest: str, inside: Inside) -> None:
    with pytest.raises(CheckError, match=r"Cannot fetch manifests/no\.json from s3://"):
        inside("verify", manifest.replace("gan100", "no"))
    with pytest.raises(UsageError, match="--shards-root is for a manifest on this disk"):
        inside("verify", manifest, "--shards-root", ".")


@pytest.mark.parametrize(
    "words", [("rebuild",), ("merge", "--name", "x"), ("fit-gan", "--out", "gan.safetensors")]
)
def test_commands_that_need_a_folder_say_so(
    manifest: str, inside: Inside, words: tuple[str, ...]
) -> None:
    with pytest.raises(click.BadParameter, match="is a URL, and a path on this disk is needed"):
        inside(words[0], manifest, *words[1:])


def test_pull_says_that_a_dataset_is_no_release(
    manifest: str, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manifest
    monkeypatch.setattr(sys, "argv", ["xbuild", "pull", place])
    with pytest.raises(SystemExit):
        main()
    assert "Cannot fetch SHA256SUMS from s3://" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.long
def test_audit_reads_both_halves_from_there(manifest: str, inside: Inside) -> None:
    inside("audit", manifest, "--real", manifest, "--sample", 100, "--resamples", 100)
    assert Path("audits/gan100.audit.json").is_file()
