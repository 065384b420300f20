"""A release that comes from a folder or a hub, which fails, lies and throttles."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.contract import CheckError, UsageError, sha256_file
from builder.progress import progress
from builder.share import pull as pulling
from builder.share.announced import Trust
from builder.share.check import SUMS, check_release
from builder.share.hub import send_to_hub
from builder.share.pull import Pulled, pull
from builder.share.receiving import giver_of
from builder.share.release import Release
from builder.store import Cache

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.filterwarnings(  # the Hub's library uses what its own one deprecates
        "ignore:Use 'content=:DeprecationWarning"
    ),
]

Hub = Any  # the class of the fixture
IsWhole = Callable[[Path, Path], bool]

HUB = "hf://datasets/chest/gan100"
TAR = "data/train-00000-of-00001.tar"


def fetch(source: str, out: Path) -> Pulled:
    return pull(source, out, Trust(), progress=progress)


# --- the Hub -------------------------------------------------------------------------------------


@pytest.fixture
def sent(hub: Hub, composed: Release) -> Hub:
    """The Hub with the release on it."""
    assert send_to_hub(composed, HUB, signature=None, gated=False, progress=progress)
    return hub


@pytest.mark.parametrize("url", [HUB, f"{HUB}/", f"{HUB}@v1.0.0"])
def test_it_comes_from_the_hub(
    sent: Hub, home: Path, shared_once: Path, is_whole: IsWhole, url: str
) -> None:
    assert sent
    fetch(url, home)
    assert is_whole(home, shared_once)


@pytest.mark.parametrize("where", ["/resolve/", "/tree/", "/api/datasets/", TAR])
@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_hub_that_fails_is_asked_again(
    sent: Hub, home: Path, where: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # huggingface_hub waits, too
    sent.faults = [(where, status)] * 2
    fetch(HUB, home)
    assert sent.faults == []
    assert list(check_release(home)) == []


def test_a_hub_that_refuses_is_one_sentence(sent: Hub, home: Path) -> None:
    sent.faults = [("/resolve/", 403)] * 100
    with pytest.raises(CheckError, match=r"Cannot fetch SHA256SUMS from hf://.*access is refused"):
        fetch(HUB, home)
    assert not home.parent.exists()


@pytest.mark.parametrize("path", [TAR, "README.md", "metadata/train.parquet"])
def test_a_hub_that_lies_is_noticed(sent: Hub, home: Path, path: str) -> None:
    data = bytearray(sent.files[path])
    data[len(data) // 2] ^= 1
    sent.lies = {path: bytes(data)}
    with pytest.raises(CheckError, match=f"{path} .*sha256"):
        fetch(HUB, home)
    assert not home.exists()


def test_a_release_that_is_replaced_meanwhile_is_said(
    sent: Hub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pulling._fill

    def replaced(*arguments: Any) -> None:
        sent.commits.append({**sent.files, TAR: b"new", SUMS: sent.files[SUMS] + b"\n"})
        real(*arguments)

    monkeypatch.setattr(pulling, "_fill", replaced)
    with pytest.raises(UsageError, match="was changed during the download: run the same command"):
        fetch(HUB, home)


@pytest.mark.parametrize("url", ["hf://models/a/b", "hf://datasets/a", "hf://datasets/a/b/c.json"])
def test_a_url_without_a_dataset_is_refused(url: str, home: Path) -> None:
    with pytest.raises(UsageError, match="names no dataset on the Hub"):
        fetch(url, home)


# --- a folder ------------------------------------------------------------------------------------


def test_a_folder_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path / "cache", max_bytes=1)
    with pytest.raises(UsageError, match="is no folder: give the folder of a release, or its URL"):
        giver_of(str(tmp_path / "absent"), cache, cache)


def test_a_folder_gives_exactly_what_was_announced(shared_folder: Path, tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path / "cache", max_bytes=1)
    giver, target = giver_of(str(shared_folder), cache, cache), tmp_path / "got.tar"
    size, digest = (shared_folder / TAR).stat().st_size, sha256_file(shared_folder / TAR)
    done: list[int] = []
    giver.take(TAR, size, digest, target, done.append)
    assert sha256_file(target) == digest
    assert sum(done) == size
    with pytest.raises(CheckError, match=rf"{TAR} in \S+ has [\d,]+ bytes, but the manifest"):
        giver.check_present({TAR: size + 1})
    with pytest.raises(CheckError, match=f"{TAR} in .* is not the sealed one"):
        giver.take(TAR, size, "0" * 64, target, done.append)
    giver.close()
    with pytest.raises(CheckError, match="was ended"):
        giver.take(TAR, size, digest, tmp_path / "late.tar", done.append)
    assert sorted(path.name for path in tmp_path.glob("*.tar*")) == ["got.tar"]
