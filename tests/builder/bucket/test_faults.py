"""A network that fails, a store that refuses, builds that are killed and that meet in one place."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.contract import CheckError, UsageError, load_manifest, sha256_file
from builder.store import OutOfReach, bucket
from builder.store.sending import Outgoing

There = Callable[[], dict[str, str]]
Inside = Callable[..., None]
Proxy = Any  # of the fixture
Files = Any  # fsspec has no types

TAR, SUMS, MANIFEST = "train-00001-of-00005.tar", "train-00001-of-00005.sha256", "gan100.json"


@pytest.fixture
def into(small: list[object], place: str, tmp_path: Path) -> list[object]:
    """Arguments that build the small dataset into the bucket."""
    return [*small, "--workers", 1, "--out", place, "--work", tmp_path / "work"]


def test_what_may_pass_is_asked_again(
    into: list[object], inside: Inside, proxy: Proxy, there: There, local: dict[str, str]
) -> None:
    proxy.faults = [
        *[("PUT", TAR, fault) for fault in ("500", "cut", "503", "lost")],
        *[("PUT", SUMS, "lost"), ("PUT", MANIFEST, "cut"), ("HEAD", TAR, "503")],
    ]
    inside(*into)
    assert there() == local
    assert proxy.faults == []


@pytest.mark.parametrize("path", [TAR, SUMS, MANIFEST])
def test_where_the_network_stays_down_the_same_command_sends_the_rest(
    into: list[object],
    inside: Inside,
    proxy: Proxy,
    there: There,
    local: dict[str, str],
    path: str,
) -> None:
    proxy.faults = [("PUT", path, "cut")] * 99  # some clients ask again by themselves
    with pytest.raises(OutOfReach, match=rf"Cannot send \S*{path} to .* run the same command"):
        inside(*into)
    assert f"manifests/{MANIFEST}" not in there()
    before = {*there()}
    proxy.faults = []
    proxy.asked.clear()
    inside(*into)
    assert there() == local
    assert not [sent for sent in proxy.sent() if sent.partition("/set/")[2] in before]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", TAR), ("GET", TAR), ("PUT", SUMS), ("GET", SUMS), ("PUT", MANIFEST)],
)
def test_a_kill_leaves_no_dataset_and_the_next_run_completes_it(
    into: list[object],
    inside: Inside,
    proxy: Proxy,
    there: There,
    local: dict[str, str],
    method: str,
    path: str,
    tmp_path: Path,
) -> None:
    """On another machine, too, which has nothing of the first one."""

    def kill(asked: str, where: str) -> None:
        if asked == method and path in where:
            proxy.faults = [("PUT", "", "403")] * 99  # nothing more arrives

    proxy.before = kill
    with pytest.raises(CheckError, match="access is refused"):
        inside(*into)
    proxy.before, proxy.faults = lambda *_: None, []
    assert f"manifests/{MANIFEST}" not in there()
    inside(*into[:-1], tmp_path / "elsewhere")
    assert there() == local


def test_a_right_that_is_missing_is_one_sentence(
    into: list[object], inside: Inside, proxy: Proxy
) -> None:
    proxy.faults = [("PUT", "recipe.json", "403")]
    with pytest.raises(CheckError, match=r"Cannot send \S+ to s3://\S+: access is refused; ") as no:
        inside(*into)
    assert "list, read and create" in str(no.value)


def test_a_bucket_that_is_not_there_is_one_sentence(
    small: list[object], inside: Inside, proxy: Proxy
) -> None:
    assert proxy.port
    with pytest.raises(UsageError, match="There is no bucket no-such-bucket: check the URL"):
        inside(*small, "--workers", 1, "--out", "s3://no-such-bucket/set")


@pytest.mark.parametrize("notes", [False, True])
def test_another_shard_in_the_place_of_one_is_named_and_stays(
    into: list[object], inside: Inside, place: str, s3: Files, there: There, notes: bool
) -> None:
    url = f"{place}/shards/real/{TAR}"
    if notes:  # it was there, and somebody put another one in its place
        inside(*into, "--part", "1/1")
    s3.pipe_file(url, b"another's")
    before = there()[f"shards/real/{TAR}"]
    with pytest.raises(UsageError, match=rf"holds another shards/real/{TAR} than the one to be se"):
        inside(*into)
    assert there()[f"shards/real/{TAR}"] == before


def test_bytes_that_change_on_their_way_are_noticed(
    into: list[object], inside: Inside, proxy: Proxy, there: There
) -> None:
    proxy.faults = [("PUT", TAR, "flip")]
    with pytest.raises(CheckError, match=rf"does not give shards/real/{TAR} back as it was sent"):
        inside(*into)
    assert f"shards/real/{SUMS}" not in there()


def test_somebody_who_sends_the_same_shard_first_is_no_fault(
    into: list[object],
    inside: Inside,
    proxy: Proxy,
    place: str,
    s3: Files,
    built_once: Path,
    there: There,
    local: dict[str, str],
) -> None:
    def race(method: str, asked: str) -> None:
        if method == "PUT" and TAR in asked and not raced:
            raced.append(asked)
            own = (built_once / "shards" / "real" / TAR).read_bytes()
            s3.pipe_file(f"{place}/shards/real/{TAR}", own)

    raced: list[str] = []
    proxy.before = race
    inside(*into)
    assert raced
    assert there() == local


def test_somebody_who_sends_another_one_first_is_not_written_over(
    into: list[object], inside: Inside, proxy: Proxy, place: str, s3: Files, there: There
) -> None:
    def race(method: str, asked: str) -> None:
        if method == "PUT" and TAR in asked and not raced:
            raced.append(asked)
            s3.pipe_file(f"{place}/shards/real/{TAR}", b"another's")

    raced: list[str] = []
    proxy.before = race
    with pytest.raises(UsageError, match=rf"holds another shards/real/{TAR}"):
        inside(*into)
    assert s3.cat_file(f"{place}/shards/real/{TAR}") == b"another's"
    assert f"manifests/{MANIFEST}" not in there()


@pytest.mark.slow
@pytest.mark.long
def test_builds_at_once_of_which_one_is_killed_end_in_one_dataset(
    into: list[object], there: There, local: dict[str, str], tmp_path: Path, proxy: Proxy
) -> None:
    command = [str(Path(sys.executable).with_name("xbuild")), *map(str, into[:-1])]
    command[command.index("--workers") + 1] = "2"

    def start(name: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*command, str(tmp_path / name)], stdout=subprocess.DEVNULL)

    def kill(method: str, asked: str) -> None:
        if method == "PUT" and ".tar" in asked:
            first.kill()

    first = start("one")
    proxy.before = kill
    first.wait(300)
    proxy.before = lambda *_: None
    assert [each.wait(300) for each in (start("one"), start("two"))] == [0, 0]
    assert there() == local
    assert load_manifest(tmp_path / "one" / "manifests" / MANIFEST).name == "gan100"


def test_a_large_shard_goes_in_parts_which_are_asked_for_again(
    place: str, proxy: Proxy, s3: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "PART", 5 << 20)
    big = tmp_path / "big.tar"
    big.write_bytes(bytes(range(256)) * (11 << 12))
    file = Outgoing(path="big.tar", size=big.stat().st_size, sha256=sha256_file(big), source=big)
    proxy.faults = [
        *[("PUT", "partNumber=2", "cut")] * 2,
        *[("PUT", "partNumber=3", "500"), ("POST", "uploadId", "lost"), ("POST", "uploads", "503")],
    ]
    assert bucket.BucketTarget(place).put([file], lambda _: None)
    assert proxy.faults == []
    assert s3.info(f"{place}/big.tar")["size"] == file.size
