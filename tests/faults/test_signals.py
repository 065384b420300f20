"""Ctrl-C and SIGTERM end a command soon, also while it reads the file of a stranger."""

import gzip
import io
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from scenes import conftest

from builder.contract import Index, index_bytes, sha256_bytes

SECONDS = 5.0  # in which a command ends
WELL_IN = 0.3  # seconds after it opened the file
CODE = """
import os, sys
file, mark, program, *words = sys.argv[1:]
def look(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and os.path.realpath(arguments[0]) == file:
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT))
sys.addaudithook(look)
sys.argv = [program, *words]
if program == "xbuild":
    from builder.cli import main
else:
    from trainer.cli import main
main()
"""
Case = tuple[Path, Sequence[object]]  # the stranger's file, and the command that reads it


def table(folder: Path) -> Case:
    """Rows of one cell too many, which another reader looks at one by one: 60 MB of text."""
    rows = "".join(f"images/{number:07d}.png,p{number},0,1,\n" for number in range(50_000))
    path = folder / "labels.csv.gz"
    text = "image,patient,Mass,Edema\n" + 40 * rows + "images/last.png,p,0,1,2\n"
    path.write_bytes(gzip.compress(text.encode(), 1))
    return path, ("xbuild", "pack", *_table(path, folder))


def published(folder: Path) -> Case:
    """As many objects as a pickle may have."""
    path = folder / "network-final.pkl"
    path.write_bytes(pickle.dumps(tuple([{"a": b"b"} for _ in range(150_000)]), 4))
    return path, ("xbuild", "import-gan", path, folder / "generator.safetensors")


def index(folder: Path) -> Case:
    """Rows of many images that are not there."""
    made = conftest("trainer").seal(folder / "data", counts=conftest("trainer").FULL)
    count, random = 300_000, Random(0)
    columns = {name: getattr(made.index, name) for name in Index.__slots__}
    many = {name: np.resize(part, (count, *part.shape[1:])) for name, part in columns.items()}
    many["key"] = np.array([f"real-{random.getrandbits(64):016x}" for _ in range(count)], object)
    data = index_bytes(Index(**many), made.manifest.pathologies)
    path = made.root / made.manifest.index.url
    path.write_bytes(data)
    first, *rest = made.manifest.shardlist
    more = count - sum(shard.nsamples for shard in rest)
    made.save(
        shardlist=(replace(first, nsamples=more, filesize=more << 11), *rest),
        index=replace(made.manifest.index, rows=count, sha256=sha256_bytes(data)),
    )
    return path, ("xbuild", "verify", made.path)


def picture(folder: Path) -> Case:
    """As many pixels as a radiograph may have, in as many scans as a JPEG may have."""
    sink = io.BytesIO()
    Image.fromarray(np.full((7000, 7000), 99, np.uint8)).save(sink, "JPEG", progressive=True)
    good = sink.getvalue()
    scan = good[good.rfind(b"\xff\xc4") : -2]
    path = folder / "1.jpg"
    path.write_bytes(good[:-2] + scan * 14 + good[-2:])
    labels = folder / "labels.csv"
    labels.write_text("image,patient,Mass\n" + "".join(f"{i}.jpg,{i},1\n" for i in range(1, 4)))
    for number in (2, 3):
        (folder / f"{number}.jpg").write_bytes(path.read_bytes())
    return path, ("xbuild", "pack", *_table(labels, folder))


def _table(path: Path, folder: Path) -> Sequence[object]:
    rest = ("--holdout", "0.3", "0.3", "--workers", 1, "--out", folder / "out")
    return ("--dataset", "table", "--labels", path, "--image-size", 64, *rest)


CASES = {"table": table, "pickle": published, "index": index, "picture": picture}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """The case of a name, made once."""

    @cache
    def of(name: str) -> Case:
        return CASES[name](tmp_path_factory.mktemp(name))

    return of


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", CASES)
def test_a_signal_is_heeded_while_a_file_is_read(
    name: str, number: signal.Signals, made: Callable[[str], Case], tmp_path: Path
) -> None:
    file, words = made(name)
    mark, told = tmp_path / "mark", tmp_path / "told"
    command = [sys.executable, "-c", CODE, str(file.resolve()), str(mark), *map(str, words)]
    with told.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    while not mark.exists():
        assert process.poll() is None, told.read_text()
        time.sleep(0.01)
    time.sleep(WELL_IN)
    assert process.poll() is None, "it was read too soon for this test"
    used = _seconds(process.pid)
    process.send_signal(number)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert usage.ru_utime + usage.ru_stime - used < SECONDS  # its own, however busy the machine is
    said = told.read_text()
    assert process.returncode in (-number, 128 + number), said
    assert "Traceback" not in said
    assert number != signal.SIGINT or said.splitlines()[-1].endswith(".")


def _seconds(process: int) -> float:
    """The processor time that a process took until now."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
