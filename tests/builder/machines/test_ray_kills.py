"""`--engine ray` while actors, the command itself and whole machines are killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

pytest.importorskip("ray", reason="Ray, of the extra [ray], is not installed")

from ray.util import get_node_ip_address

pytestmark = [pytest.mark.slow, pytest.mark.long]

Host = Callable[[str], list[str]]
Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]
Comes = Callable[[Callable[[], object], float], object]

Start = Callable[..., "Marked"]

BIN = Path(sys.executable).parent
# Shards take long enough to be disturbed.
SYNTH = ("--share", "0.4", "--shard-size", "8", "--image-size", "160", "--upsample")
RAY = ("--engine", "ray", "--workers", "2")


@pytest.fixture
def marked() -> Iterator[Start]:
    """A command that is started, and ended with the test."""
    with ExitStack() as stack:

        def start(*words: object) -> Marked:
            command = Marked(*words)
            stack.callback(command.stop)
            return command

        yield start


class Marked:
    """A command, whose processes are found by a variable that all of them inherit."""

    def __init__(self, *words: object) -> None:
        self._mark = f"TEST_MARK={uuid4()}".encode()
        name, value = self._mark.decode().split("=")
        env = dict(os.environ, **{name: value}, RAY_AUTH_MODE="disabled", OMP_NUM_THREADS="1")
        pipe = subprocess.PIPE
        self.command = subprocess.Popen(
            [*map(str, words)], env=env, stdout=pipe, stderr=pipe, text=True
        )

    def ends(self, seconds: float = 300) -> tuple[int, str, str]:
        """Its exit code and what it said."""
        out, err = self.command.communicate(timeout=seconds)
        return self.command.returncode, out, err

    def stop(self) -> None:
        """End all its processes, the command first."""
        self.command.terminate()
        try:
            self.ends(20)
        except subprocess.TimeoutExpired:
            for process in self.processes():
                os.kill(int(process.name), signal.SIGKILL)
            self.ends(60)

    def processes(self) -> list[Path]:
        """All its processes, in /proc."""
        return [path for path in Path("/proc").glob("[0-9]*") if self._mark in environ(path)]

    def writer(self) -> int | None:
        """An actor that has begun a shard and not finished it."""
        time.sleep(0.005)
        for path in self.processes():
            try:
                files = [file.readlink().name for file in (path / "fd").iterdir()]
            except OSError:
                continue
            if any(".tar." in name and name.endswith(".tmp") for name in files):
                return int(path.name)
        return None


def environ(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


@pytest.fixture(params=["synth", "pack"])
def words(request: pytest.FixtureRequest, small: list[object], clinic: Path) -> list[object]:
    """A command that makes shards enough."""
    if request.param == "synth":
        return [*small, *SYNTH]
    pack = ["pack", "--dataset", "table", "--labels", clinic, "--holdout", "0.1", "0.1"]
    return [*pack, "--shard-size", "4", "--image-size", "512", "--upsample"]


@pytest.fixture
def whole(tmp_path: Path, words: list[object], xbuild: Xbuild, hashes: Hashes) -> dict[str, str]:
    """The hashes of the dataset that this machine's own processes made in one go."""
    assert xbuild(*words, "--out", tmp_path / "whole", "--workers", "1").returncode == 0
    return hashes(tmp_path / "whole")


def test_an_actor_killed_within_a_shard_is_replaced(
    tmp_path: Path, words: list[object], hashes: Hashes, whole: dict[str, str], marked: Start
) -> None:
    out = tmp_path / "out"
    build = marked(BIN / "xbuild", *words, *RAY, "--out", out)
    while (writer := build.writer()) is None:
        assert build.command.poll() is None, build.ends()
    os.kill(writer, signal.SIGKILL)
    code, said, complained = build.ends()
    assert code == 0, complained
    assert "Sealed" in said
    assert "raylet" not in said  # Ray tells of the death on stderr
    assert hashes(out) == whole
    assert not [*out.rglob("*.tmp")]


def test_the_command_itself_is_killed(
    tmp_path: Path,
    words: list[object],
    hashes: Hashes,
    whole: dict[str, str],
    marked: Start,
    comes: Comes,
) -> None:
    out = tmp_path / "out"
    command = (BIN / "xbuild", *words, *RAY, "--out", out)
    build = marked(*command)
    while len([*out.glob("shards/*/*.tar")]) < 3:
        assert build.command.poll() is None, build.ends()
        time.sleep(0.01)
    build.command.kill()
    again = marked(*command)  # while actors of the killed one may still write
    code, said, complained = again.ends()
    assert code == 0, complained
    assert "Sealed" in said
    assert hashes(out) == whole
    assert comes(lambda: not build.processes() and not again.processes(), 60)
    assert not [*out.rglob("*.tmp")]


@pytest.fixture
def cluster(host: Host, marked: Start) -> tuple[str, Marked]:
    """The address of a cluster of two machines with one core each, and the second machine."""
    here = get_node_ip_address()
    with socket.socket() as free:
        free.bind((here, 0))
        address = f"{here}:{free.getsockname()[1]}"
    first = node("--head", f"--port={address.split(':')[1]}", "--include-dashboard=false")
    runs(marked(*first))
    return address, runs(marked(*host("two"), *node(f"--address={address}")))


def node(*more: str) -> list[str]:
    """A machine of a cluster; all machines here have one address, and so no fixed ports."""
    ports = ("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")
    small = ("--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats")
    return [str(BIN / "ray"), "start", "--block", *ports, *small, *more]


def runs(machine: Marked) -> Marked:
    """The machine, once it belongs to its cluster."""
    lines = iter(machine.command.stdout or ())
    assert any("Ray runtime started" in line for line in lines), machine.ends()
    return machine


def test_a_whole_machine_is_lost(
    tmp_path: Path,
    cluster: tuple[str, Marked],
    words: list[object],
    hashes: Hashes,
    whole: dict[str, str],
    marked: Start,
) -> None:
    address, two = cluster
    out = tmp_path / "out"
    build = marked(BIN / "xbuild", *words, *RAY, "--address", address, "--out", out)
    while two.writer() is None:
        assert build.command.poll() is None, build.ends()
    two.command.kill()
    code, said, complained = build.ends()
    assert code == 0, complained
    assert "Sealed" in said
    assert hashes(out) == whole
    assert not [*out.rglob("*.tmp")]
