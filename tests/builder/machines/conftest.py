"""Other machines, imitated in this one, and a Slurm whose nodes they are."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

Host = Callable[[str], list[str]]

BIN = Path(sys.executable).parent

# The first process of a host is the command itself, and the host ends with the first process.
_HOST = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
_NAMED = ("sh", "-c", 'hostname "$0" && exec "$@"')


@pytest.fixture(scope="session")
def host() -> Host:
    """What stands before a command that is to run on another host, by the host's name.

    Its processes are numbered from 1, and its network is that of this machine.
    """
    return _host()


@pytest.fixture(scope="session")
def lonely_host() -> Host:
    """The same, without a network: all that it shares with others is the disk."""
    return _host("--net")


def _host(*more: str) -> Host:
    def named(name: str) -> list[str]:
        return [*_HOST, *more, *_NAMED, name]

    try:
        tried = subprocess.run(
            [*named("tried"), "true"], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if tried.returncode:
        pytest.skip(f"no other host can be imitated here: {tried.stderr.strip()}")
    return named


# --- Slurm, as Debian packages it: apt-get install slurm-wlm munge -------------------------------

NODES = ("one", "two")

# Nodes say that they have what a real cluster has, so that the scripts may ask for it.
_CONF = """
ClusterName=two
SlurmctldHost={here}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
MailProg=/bin/true
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=one NodeAddr=127.0.0.1 Port={ports[1]} CPUs=64 RealMemory=100000 Gres=gpu:4
NodeName=two NodeAddr=127.0.0.1 Port={ports[2]} CPUs=64 RealMemory=100000 Gres=gpu:4
PartitionName=all Nodes=ALL Default=YES State=UP LLN=YES
PartitionName=urgent Nodes=ALL State=UP PriorityTier=10
"""
_GRES = "Name=gpu File=/dev/null,/dev/zero,/dev/full,/dev/random\n"


class Slurm:
    """A controller and two nodes, which end with the stack."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """All daemons are started."""
        self._folder, self._stack = folder, stack
        self._env = dict(os.environ, SLURM_CONF=str(folder / "slurm.conf"), OMP_NUM_THREADS="1")
        self._env["PATH"] = f"{BIN}:{self._env['PATH']}"
        folder.chmod(0o755)  # munge refuses others
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        with _ports(3) as ports:
            user, here = getpass.getuser(), socket.gethostname()
            text = _CONF.format(here=here, user=user, folder=folder, ports=ports)
        (folder / "slurm.conf").write_text(text)
        (folder / "gres.conf").write_text(_GRES)
        self._start(_munged(folder))
        self._start([_daemon("slurmctld"), "-c", "-D"])
        (folder / "hosts").write_text(f"127.0.0.1 localhost {here} {' '.join(NODES)}\n")
        known = ("sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(folder / "hosts"))
        for node in NODES:
            named = (*_NAMED, node, _daemon("slurmd"), "-D")
            self._start(["unshare", "--uts", "--mount", *known, *named])
        stack.callback(self._stop_jobs)

    def said(self, *command: str, cwd: Path | None = None) -> str:
        """What a command prints; it fails if the command does."""
        done = subprocess.run(
            command, cwd=cwd, env=self._env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (command, done.stderr, self.logs())
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """Each job's state, and the node that it ran on, by its number."""
        lines = self.said("squeue", "--noheader", "--states=all", "--array", "-o", "%i|%T %N")
        return dict(line.split("|") for line in lines.split("\n") if line)

    def ended(self) -> bool:
        """Whether no job runs or waits."""
        return not self.said("squeue", "--noheader").strip()

    def ready(self) -> bool:
        """Whether both nodes wait for jobs."""
        return "idle 2" in self.said("sinfo", "--noheader", "-p", "all", "-o", "%T %D")

    def logs(self) -> str:
        """The end of what the daemons noted."""
        texts = [path.read_text()[-1500:] for path in sorted(self._folder.glob("*.log"))]
        return "\n".join(texts)

    def _start(self, command: list[str]) -> None:
        log = self._stack.enter_context((self._folder / "daemons.log").open("ab"))
        daemon = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)
        self._stack.callback(daemon.wait, 60)
        self._stack.callback(daemon.terminate)

    def _stop_jobs(self) -> None:
        with_all = ["scancel", f"--user={getpass.getuser()}"]
        subprocess.run(with_all, env=self._env, timeout=60, check=False)
        _comes(self.ended, 30)


@pytest.fixture(scope="session")
def comes() -> Callable[[Callable[[], bool], float], bool]:
    """Whether something becomes true in so many seconds."""
    return _comes


def _comes(what: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.2)
    return found


@contextmanager
def _ports(count: int) -> Iterator[list[int]]:
    """Ports that nobody uses, until the block ends."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in sockets]


def _daemon(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or ""


def _munged(folder: Path) -> list[str]:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid"}
    files |= {"log-file": folder / "munged.log", "seed-file": folder / "munge.seed"}
    options = [f"--{name}={path}" for name, path in files.items()]
    return [_daemon("munged"), "--foreground", "--force", "--num-threads=2", *options]


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A real Slurm with two nodes."""
    missing = [name for name in ("munged", "slurmctld", "slurmd") if not _daemon(name)]
    if missing:
        pytest.skip(f"Slurm is not installed: there is no {', '.join(missing)}")
    with TemporaryDirectory(prefix="slurm-") as name, ExitStack() as stack:  # a short name: sockets
        slurm = Slurm(Path(name), stack)
        if not _comes(slurm.ready, 30):
            pytest.skip(f"no node of Slurm starts here: {slurm.logs()}")
        yield slurm
