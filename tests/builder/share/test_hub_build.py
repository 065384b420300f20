"""A build onto a server with the API of the Hub: the synthetic half, a commit for each shard."""

from pathlib import Path
from typing import Any

import pytest

from builder.cli import cli
from builder.contract import UsageError

pytestmark = pytest.mark.filterwarnings(  # the Hub's library uses what its own one deprecates
    "ignore:Use 'content=:DeprecationWarning"
)

Hub = Any  # the class of the fixture


def xbuild(*words: object) -> None:
    cli.main([str(word) for word in words], standalone_mode=False)


@pytest.fixture
def half(small: list[object], own_cache: None) -> list[object]:
    """Arguments that build the synthetic half in several shards."""
    assert own_cache is None
    return [*small, "--real", "none", "--shard-size", 4, "--workers", 1]


@pytest.mark.slow
@pytest.mark.long
def test_a_build_onto_the_hub_is_a_local_one_and_resumes(
    half: list[object], hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--out", "hf://datasets/chest/gan100")
    hub.faults = [("/commit/", 500), ("/objects/batch", 503)]
    xbuild(*half, *place, "--part", "1/2")
    xbuild(*half, *place)
    assert "Sealed hf://datasets/chest/gan100/manifests/gan100.json" in capsys.readouterr().out
    xbuild(*half, "--out", tmp_path / "here")
    here = {
        path.relative_to(tmp_path / "here").as_posix(): path.read_bytes()
        for path in (tmp_path / "here").rglob("*")
        if path.is_file() and path.name not in (".lock", "gan100.png")
    }
    assert hub.files == here
    commits = len(hub.commits)
    xbuild(*half, *place)
    assert len(hub.commits) == commits
    xbuild("verify", f"{place[1]}/manifests/gan100.json")
    assert "OK: 12 samples in 3 shards" in capsys.readouterr().out


def test_another_shard_in_its_place_stays(half: list[object], hub: Hub) -> None:
    url = "shards/gan100/train-00001-of-00003.tar"
    hub.large["x"] = b"another's"
    hub.commits.append({url: b"another's"})
    with pytest.raises(UsageError, match=rf"hf://datasets/chest/gan100 holds another {url}"):
        xbuild(*half, "--out", "hf://datasets/chest/gan100")
    assert hub.files[url] == b"another's"
    assert not any(path.startswith("manifests/") for path in hub.files)
