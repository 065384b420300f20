"""A build in parts has the bytes of one that was made in one go, whatever happens to the parts."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from builder import build
from builder.cli import building

Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Hashes = Callable[[Path], dict[str, str]]
Locked = Callable[..., AbstractContextManager[None]]

SMALL_SHARDS = ("--share", "0.4", "--shard-size", "8")


@pytest.fixture
def parted(small: list[object]) -> list[object]:
    """The small dataset in shards enough for parts."""
    return [*small, *SMALL_SHARDS, "--workers", "1"]


@pytest.fixture
def whole(tmp_path: Path, parted: list[object], xbuild: Xbuild, hashes: Hashes) -> dict[str, str]:
    """The hashes of the dataset that was built in one go."""
    assert xbuild(*parted, "--out", tmp_path / "whole").returncode == 0
    return hashes(tmp_path / "whole")


def test_parts_in_any_order_end_in_the_same_bytes(
    tmp_path: Path, parted: list[object], xbuild: Xbuild, hashes: Hashes, whole: dict[str, str]
) -> None:
    out = tmp_path / "parts"
    for part in ("2/3", "3/3", "2/3"):
        made = xbuild(*parted, "--out", out, "--part", part)
        assert made.returncode == 0, made.stderr
        assert f"Part {part} is complete." in made.stdout
    sealed = xbuild("seal", *parted[1:], "--out", out)
    assert sealed.returncode == 1
    assert "shards are missing: shards/real/train-00000" in sealed.stderr
    last = xbuild(*parted, "--out", out, "--part", "1/3")
    assert "Sealed" in last.stdout, last.stderr
    assert hashes(out) == whole
    again = xbuild("seal", *parted[1:], "--out", out)
    assert "Sealed" in again.stdout, again.stderr
    assert hashes(out) == whole


@pytest.mark.slow
@pytest.mark.long
def test_parts_at_once_of_which_some_are_killed_lose_nothing(
    tmp_path: Path, parted: list[object], xbuild: Xbuild, hashes: Hashes, whole: dict[str, str]
) -> None:
    out = tmp_path / "parts"
    seed = random.SystemRandom().randrange(1 << 32)
    moments = random.Random(seed)
    command = [Path(sys.executable).with_name("xbuild"), *map(str, parted), "--out", str(out)]
    parts = [
        subprocess.Popen([*command, "--part", f"{number}/4"], stdout=subprocess.DEVNULL)
        for number in (1, 2, 3, 4)
    ]
    for part in parts[:2]:
        time.sleep(moments.uniform(0.5, 2))
        part.kill()
    assert all(part.wait(300) == 0 for part in parts[2:]), seed
    for number in (1, 2):
        parts[number - 1].wait()
        made = xbuild(*parted, "--out", out, "--part", f"{number}/4")
        assert made.returncode == 0, (seed, made.stderr)
    assert (out / "manifests" / "gan100.json").is_file(), seed
    assert hashes(out) == whole, seed
    assert not [*out.rglob("*.tmp")], seed


def test_the_last_part_seals_beside_parts_of_another_dataset(
    tmp_path: Path,
    parted: list[object],
    xbuild: Xbuild,
    locked: Locked,
    hashes: Hashes,
    whole: dict[str, str],
) -> None:
    out = tmp_path / "parts"
    with locked(out, shared=True):  # as a part of any dataset holds it
        xbuild(*parted, "--out", out, "--part", "1/2")
        made = xbuild(*parted, "--out", out, "--part", "2/2")
        assert "Sealed" in made.stdout, made.stderr
        assert hashes(out) == whole
        (out / "manifests" / "gan100.json").unlink()
        sealed = xbuild("seal", *parted[1:], "--out", out)
        assert "Sealed" in sealed.stdout, sealed.stderr
    assert hashes(out) == whole


@pytest.mark.parametrize("check", [("--check", "duplicate"), ()], ids=["redraws", "proves"])
def test_a_last_part_that_cannot_seal_waits_and_then_says_so(
    tmp_path: Path,
    parted: list[object],
    xbuild: Xbuild,
    locked: Locked,
    monkeypatch: pytest.MonkeyPatch,
    check: tuple[str, ...],
) -> None:
    out = tmp_path / "parts"
    xbuild(*parted, *check, "--out", out, "--part", "1/2")
    monkeypatch.setattr(building, "_PATIENCE", 0.01)
    with stranger(monkeypatch, locked(out, shared=bool(check))):  # only redraws mind a part
        made = xbuild(*parted, *check, "--out", out, "--part", "2/2")
    assert made.returncode == 2
    assert "Note: another xbuild is writing into" in made.stderr
    assert "Part 2/2 is complete, and so are all others, but another xbuild" in made.stderr
    assert "run xbuild seal with the same options when it has ended." in made.stderr
    assert not (out / "manifests").exists()
    sealed = xbuild("seal", *parted[1:], *check, "--out", out)
    assert "Sealed" in sealed.stdout, sealed.stderr


@contextmanager
def stranger(monkeypatch: pytest.MonkeyPatch, lock: AbstractContextManager[None]) -> Iterator[None]:
    """Another process takes the folder at the moment in which a part has made its shards."""
    make = build.synth_part

    def made(*arguments: Any) -> list[str]:
        missing = make(*arguments)
        lock.__enter__()
        return missing

    monkeypatch.setattr(build, "synth_part", made)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def test_a_last_part_seals_as_soon_as_the_other_build_has_ended(
    tmp_path: Path,
    parted: list[object],
    xbuild: Xbuild,
    locked: Locked,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "parts"
    xbuild(*parted, "--out", out, "--part", "1/2")
    lock = locked(out)
    monkeypatch.setattr(time, "sleep", lambda _: lock.__exit__(None, None, None))
    with stranger(monkeypatch, lock):
        made = xbuild(*parted, "--out", out, "--part", "2/2")
    assert "Sealed" in made.stdout, made.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--part", "4/3"), "such as 3/16, and got 4/3"),
        (("--part", "1/2", "--batch", "auto"), "give parts a number"),
    ],
)
def test_what_parts_cannot_do_is_refused(
    tmp_path: Path, parted: list[object], xbuild: Xbuild, words: tuple[str, ...], said: str
) -> None:
    refused = xbuild(*parted, "--out", tmp_path / "parts", *words)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert not (tmp_path / "parts").exists()


def test_real_images_are_packed_in_parts(
    tmp_path: Path, clinic: Path, xbuild: Xbuild, hashes: Hashes
) -> None:
    pack = ["pack", "--dataset", "table", "--labels", clinic, "--image-size", "32"]
    pack += ["--upsample", "--shard-size", "8", "--holdout", "0.1", "0.1", "--workers", "1"]
    assert xbuild(*pack, "--out", tmp_path / "whole").returncode == 0
    for part in ("2/2", "1/2"):
        made = xbuild(*pack, "--out", tmp_path / "parts", "--part", part)
        assert made.returncode == 0, made.stderr
    assert "Sealed" in made.stdout
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")
