"""Hosts that share a folder and nothing else: same process numbers, other names, one dataset."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.contract.lock import LOCK, hold
from builder.contract.new_file import remove_leftovers

pytestmark = [pytest.mark.slow, pytest.mark.long]

Host = Callable[[str], list[str]]
Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]

SHARDS = ("--share", "0.4", "--shard-size", "8", "--workers", "1")
XBUILD = Path(sys.executable).with_name("xbuild")

# Begins a file, says who and where it is, and completes the file once it is told to.
WRITER = """
import os, socket, sys
from pathlib import Path
from builder.contract.new_file import NewFile

new = NewFile(Path(sys.argv[1]))
print(socket.gethostname(), os.getpid(), new.temporary, flush=True)
new.file.write(sys.stdin.readline().encode())
new.complete()
new.discard()
"""
HOLDER = """
import sys, time
from pathlib import Path
from builder.contract.lock import hold

def wait(seconds):
    print("waits", flush=True)
    time.sleep(seconds)

with hold(Path(sys.argv[1]), wait=wait, shared=sys.argv[2] == "shared"):
    print("holds", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def parted(small: list[object]) -> list[str]:
    """The small dataset in shards enough for parts."""
    return [str(word) for word in (*small, *SHARDS)]


@pytest.fixture
def whole(tmp_path: Path, parted: list[str], xbuild: Xbuild, hashes: Hashes) -> dict[str, str]:
    """The hashes of the dataset that was built in one go, here."""
    assert xbuild(*parted, "--out", tmp_path / "whole").returncode == 0
    return hashes(tmp_path / "whole")


@contextmanager
def on(prefix: list[str], *command: object) -> Iterator[subprocess.Popen[str]]:
    """A command on another host, which is switched off at the end."""
    words = [*prefix, *map(str, command)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        yield process
    finally:
        switch_off(process)
        process.communicate()


def switch_off(process: subprocess.Popen[str]) -> None:
    """End a host at once, with all that runs there: its first process is killed."""
    if process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        os.kill(int(children), signal.SIGKILL)
        process.wait(60)


def line_of(process: subprocess.Popen[str]) -> str:
    """What it says next; fails if it ends first."""
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said, process.communicate()[1]
    return said.strip()


def test_writers_with_one_number_on_two_hosts_do_not_collide(
    tmp_path: Path, lonely_host: Host
) -> None:
    path = tmp_path / "file"
    script = (sys.executable, "-c", WRITER, path)
    with on(lonely_host("alpha"), *script) as first, on(lonely_host("beta"), *script) as second:
        (name, number, mine), (other, same, its) = line_of(first).split(), line_of(second).split()
        assert (name, other, number, same) == ("alpha", "beta", "1", "1")
        assert mine != its
        remove_leftovers(tmp_path)  # by a third host: both are being written
        assert {mine, its} <= {each.name for each in tmp_path.iterdir()}
        switch_off(first)
        remove_leftovers(tmp_path)
        assert [each.name for each in tmp_path.iterdir()] == [its]
        assert second.communicate("whole\n", timeout=60)[1] == ""
    assert path.read_text() == "whole\n"
    assert [*tmp_path.iterdir()] == [path]


def test_the_lock_of_a_host_is_heeded_and_ends_with_it(
    tmp_path: Path, lonely_host: Host, parted: list[str], xbuild: Xbuild
) -> None:
    out = tmp_path / "out"
    script = (sys.executable, "-c", HOLDER, out)
    with on(lonely_host("alpha"), *script, "alone") as first:
        assert line_of(first) == "holds"
        for words in (parted, [*parted, "--part", "1/2"]):
            refused = subprocess.run(
                [*lonely_host("beta"), XBUILD, *words, "--out", out],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert refused.returncode == 2, refused.stderr
            assert "Another xbuild is writing into" in refused.stderr
        with on(lonely_host("beta"), *script, "alone") as second:
            assert line_of(second) == "waits"
            switch_off(first)
            assert "holds" in iter(lambda: line_of(second), "")
    assert (out / LOCK).is_file()  # a host has left it
    with hold(out, wait=None) as mine:
        assert mine
    assert xbuild(*parted, "--out", out).returncode == 0


def test_parts_share_the_lock_among_hosts(tmp_path: Path, lonely_host: Host) -> None:
    script = (sys.executable, "-c", HOLDER, tmp_path, "shared")
    with on(lonely_host("alpha"), *script) as first, on(lonely_host("beta"), *script) as second:
        assert line_of(first) == line_of(second) == "holds"
        with hold(tmp_path, wait=None) as mine:
            assert not mine


@pytest.mark.parametrize("parts", [("1/2", "2/2"), ("1/2", "1/2", "2/3", "1/1")])
def test_parts_on_hosts_at_once_end_in_the_bytes_of_one_machine(
    tmp_path: Path,
    lonely_host: Host,
    parted: list[str],
    xbuild: Xbuild,
    hashes: Hashes,
    whole: dict[str, str],
    parts: tuple[str, ...],
) -> None:
    out = tmp_path / "out"
    hosts = [
        subprocess.Popen(
            [*lonely_host(f"host{number}"), XBUILD, *parted, "--out", out, "--part", part],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, part in enumerate(parts)
    ]
    said = [host.communicate(timeout=300) for host in hosts]
    assert [host.returncode for host in hosts] == [0] * len(parts), said
    if "Sealed" not in "".join(out for out, _ in said):  # two ended at once
        assert xbuild("seal", *parted[1:], "--out", out).returncode == 0
    assert hashes(out) == whole
    assert not [*out.rglob("*.tmp")]


def test_a_host_that_is_switched_off_loses_nothing(
    tmp_path: Path,
    lonely_host: Host,
    parted: list[str],
    hashes: Hashes,
    whole: dict[str, str],
) -> None:
    out = tmp_path / "out"
    build = (XBUILD, *parted, "--out", out)
    with on(lonely_host("alpha"), *build) as first:
        while len([*out.glob("shards/gan100/*.tar")]) < 3:
            assert first.poll() is None, first.communicate()
            time.sleep(0.01)
        switch_off(first)
    with on(lonely_host("beta"), *build) as second:
        assert "Sealed" in second.communicate(timeout=300)[0]
    assert hashes(out) == whole
    assert not [*out.rglob("*.tmp")]
