"""Fetching: asked again where that helps, checked, and refused without showing a secret."""

import os
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from builder.contract import CheckError, ShardEntry, sha256_bytes
from builder.store import OutOfReach
from builder.store import remote as fetching

SHARD = "shards/gan10/train-00000-of-00002.tar"
OTHER = "shards/gan10/train-00001-of-00002.tar"

Make = Callable[[str], Any]
Content = Callable[..., bytes]


# --- fetching ------------------------------------------------------------------------------------


def test_a_file_is_fetched_once(far: Any, content: Content) -> None:
    data = content()
    far.put(SHARD, data)
    source = far.open()
    path = far.fetch(data, source=source)
    assert path.read_bytes() == data
    assert far.kept() == {path.name} == {sha256_bytes(data)}
    asked = len(far.server.requests)
    assert far.fetch(data, source=source) == far.fetch(data) == path
    assert len(far.server.requests) == asked


FAULTS = ("reset", "cut", "500", "503", "429", "flip")
TRIALS = [(kind, fault) for kind in ("s3", "ranges", "plain") for fault in FAULTS]
TRIALS += [("hf", "503"), ("hf", "flip")]  # its library waits a second by itself


@pytest.mark.parametrize(("kind", "fault"), TRIALS)
def test_a_fault_that_passes_is_not_seen(
    make: Make, content: Content, kind: str, fault: str
) -> None:
    far, data = make(kind), content()
    far.put(SHARD, data)
    far.server.faults = [fault]
    assert far.fetch(data).read_bytes() == data
    assert far.server.faults == []


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("s3", "503"), ("s3", "reset"), ("s3", "cut"), ("ranges", "503"), ("plain", "reset")],
)
def test_a_fault_that_stays_is_tried_a_few_times_ever_later(
    make: Make, content: Content, kind: str, fault: str
) -> None:
    far, data, began = make(kind), content(), time.monotonic()
    far.put(SHARD, data)
    far.server.faults = [fault] * 100
    message = rf"Cannot fetch {SHARD} from .*9 attempts failed.*network"
    with pytest.raises(CheckError, match=message):
        far.fetch(data)
    each = 2 if fault == "reset" else 1  # aiohttp itself asks again when a connection was closed
    assert 9 <= len(far.server.tars()) <= 9 * each
    assert time.monotonic() - began > 0.001 * (2**8 - 1)
    assert far.kept() == set()


@pytest.mark.parametrize(
    ("fault", "words"),
    [("404", "not there; check the URL"), ("403", "access is refused; (set|run)")],
)
def test_what_cannot_be_mended_fails_at_once(
    far: Any, content: Content, fault: str, words: str
) -> None:
    data = content()
    far.put(SHARD, data)
    far.server.faults = [fault] * 100
    message = rf"Cannot fetch {SHARD} from {far.url}: .*{words}"
    with pytest.raises(CheckError, match=message) as caught:
        far.fetch(data)
    assert len(far.server.tars()) == 1
    assert isinstance(caught.value, OutOfReach) == (fault == "403")  # it says nothing of the file


def test_missing_credentials_are_named(
    make: Make, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = make("s3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CheckError, match=r"access is refused; set AWS_PROFILE .* FSSPEC_S3_ANON"):
        far.fetch(content())


def test_a_file_that_was_not_sealed_is_refused(far: Any, content: Content) -> None:
    far.put(SHARD, content(seed=1))
    message = rf"{SHARD} at {far.url} is not the sealed one: its sha256"
    with pytest.raises(CheckError, match=message):
        far.fetch(content())
    assert far.kept() == set()


@pytest.mark.parametrize("kind", ["ranges", "plain"])
def test_lasting_damage_costs_two_downloads(make: Make, content: Content, kind: str) -> None:
    far = make(kind)
    far.put(SHARD, content())
    far.server.faults = ["flip"] * 100
    with pytest.raises(CheckError, match="sha256 differs"):
        far.fetch(content())
    assert far.server.tars() == ["bytes=0-"] * 2


def test_how_far_a_download_is_can_be_shown(web: Any, content: Content) -> None:
    data, done = content(), []
    web.put(SHARD, data)
    web.server.faults = ["flip"]
    source = web.open()
    for _ in range(2):  # the second is cached
        source.fetch(SHARD, size=len(data), sha256=sha256_bytes(data), advance=done.append)
    assert sum(done) == len(data)
    assert -len(data) in done  # the damaged one was done again


def test_a_file_shorter_than_sealed_is_refused(far: Any, content: Content) -> None:
    data = content()
    far.put(SHARD, data[:-1])
    with pytest.raises(CheckError, match=f"Cannot fetch {SHARD}"):
        far.fetch(data)
    assert far.kept() == set()


def test_a_cached_file_of_another_size_than_asked_for_is_refused(
    web: Any, content: Content
) -> None:
    data, source = content(), web.open()
    web.put(SHARD, data)
    web.fetch(data, source=source)
    with pytest.raises(CheckError, match="sha256 differs"):
        source.fetch(SHARD, size=len(data) - 1, sha256=sha256_bytes(data))


# --- ahead of use --------------------------------------------------------------------------------


def entries(files: list[tuple[str, bytes]]) -> list[ShardEntry]:
    return [
        ShardEntry(
            url=path,
            nsamples=1,
            filesize=len(data),
            sha256=sha256_bytes(data),
            split="train",
            origin="real",
        )
        for path, data in files
    ]


def test_what_was_prefetched_is_there(web: Any) -> None:
    files, source = web.put_many(5), web.open()
    source.prefetch(entries(files))
    wanted, end = {sha256_bytes(data) for _, data in files}, time.monotonic() + 10
    while web.kept() != wanted and time.monotonic() < end if web.folder.exists() else True:
        time.sleep(0.01)
    assert len(web.server.tars()) == 5
    for path, data in files:
        assert web.fetch(data, path, source).read_bytes() == data
    assert len(web.server.tars()) == 5


def test_a_failure_ahead_of_use_shows_in_use(web: Any, content: Content) -> None:
    source = web.open()
    source.prefetch(entries([(SHARD, content())]))
    with pytest.raises(CheckError, match=f"{SHARD} .* not there"):
        web.fetch(content(), source=source)


def test_close_does_not_wait_for_the_next_attempt(
    web: Any, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "FIRST_DELAY", 60)
    source = web.open()
    web.server.faults = ["503"]
    source.prefetch(entries(web.put_many(3)))
    end = time.monotonic() + 10
    while web.server.faults and time.monotonic() < end:
        time.sleep(0.01)
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 5
    with pytest.raises(CheckError, match="was ended"):
        web.fetch(content(), source=source)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["../x.tar", "/x.tar", "a/../x.tar", "http://h/x.tar", "x.tar?y", ""]
)
def test_only_plain_relative_paths_are_asked_for(web: Any, content: Content, path: str) -> None:
    source = web.open()
    with pytest.raises(CheckError, match="refused"):
        web.fetch(content(), path, source)
    with pytest.raises(CheckError, match="refused"):
        source.read(path, max_bytes=10)
    with pytest.raises(CheckError, match="refused"):
        source.check_present({path: 10})
    assert web.server.requests == []


@pytest.mark.parametrize("digest", ["", "../../x", "A" * 64, "0" * 63, "0" * 64 + ".part"])
def test_only_a_sha256_names_a_cached_file(web: Any, digest: str) -> None:
    with pytest.raises(CheckError, match=f"{SHARD} has no valid sha256"):
        web.open().fetch(SHARD, size=10, sha256=digest)


def test_credentials_reach_the_server_and_no_message(web: Any, content: Content) -> None:
    data, port = content(), web.server.server_port
    web.put(SHARD, data)
    web.put(OTHER, data)
    source = web.open(url=f"http://me:geheim@127.0.0.1:{port}/data/?token=geheim")
    web.fetch(data, source=source)
    _, path, head = web.server.requests[0]
    assert path == f"/data/{SHARD}?token=geheim"
    assert head["Authorization"].startswith("Basic ")
    for faults in (["404"], ["403"], ["400"], ["503"] * 5, ["reset"] * 5, []):
        web.server.faults = faults
        with pytest.raises(CheckError, match=f"127.0.0.1:{port}/data") as caught:
            web.fetch(content(seed=1), OTHER, source)
        assert "geheim" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(CheckError) as caught:
        source.check_present({OTHER: 1})
    assert "geheim" not in str(caught.value)


def test_keys_in_the_url_of_a_bucket_are_not_shown(make: Make, content: Content) -> None:
    far = make("s3")
    source = far.open(url=far.url.replace("s3://", "s3://AKIA:ge/heim@"))
    with pytest.raises(CheckError, match=f"Cannot fetch {SHARD} from {far.url}: ") as caught:
        far.fetch(content(), source=source)
    assert "heim" not in str(caught.value)
    assert "AKIA" not in str(caught.value)
