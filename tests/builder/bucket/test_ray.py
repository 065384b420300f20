"""`--engine ray` into a bucket: the bytes of a local build, also where the network fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray, of the extra [ray], is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.long]

There = Callable[[], dict[str, str]]
Installed = Callable[..., Any]
Proxy = Any  # of the fixture

TAR = "train-00001-of-00005.tar"


@pytest.fixture
def by_ray(
    small: list[object], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[object]:
    """Arguments that build the small dataset into the bucket, by two actors of a new cluster."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    engine = ("--engine", "ray", "--workers", 2)
    return [*small, *engine, "--out", place, "--work", tmp_path / "work"]


def test_actors_send_every_byte_of_a_local_build(
    by_ray: list[object], installed: Installed, proxy: Proxy, there: There, local: dict[str, str]
) -> None:
    proxy.faults = [("PUT", TAR, "503 SlowDown"), ("PUT", TAR, "cut"), ("GET", TAR, "half")]
    done = installed(*by_ray)
    assert done.returncode == 0, done.stderr
    assert proxy.faults == []
    assert there() == local


def test_a_right_that_actors_lack_is_one_sentence_and_the_same_command_goes_on(
    by_ray: list[object], installed: Installed, proxy: Proxy, there: There, local: dict[str, str]
) -> None:
    proxy.faults = [("PUT", TAR, "403 AccessDenied")] * 9
    done = installed(*by_ray)
    assert done.returncode == 1
    assert f"Cannot send shards/real/{TAR} to s3://" in done.stderr
    assert "Traceback" not in done.stderr
    assert "manifests/gan100.json" not in there()
    proxy.faults = []
    assert installed(*by_ray).returncode == 0
    assert there() == local
