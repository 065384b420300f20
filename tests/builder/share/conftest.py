"""A small release, made once; each test damages a copy of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.contract import Index, Manifest, load_index, load_manifest
from builder.engines.make import Work
from builder.progress import progress
from builder.share.lockfile import Own
from builder.share.publisher import Publisher, read_publisher
from builder.share.rebuild import Outcome, rebuild
from builder.share.release import Release, compose
from builder.share.writing import write_release

SAID = {
    "license": "CC-BY-4.0",
    "creator": "Chest Imaging Group",
    "contact": "chest@example.org",
    "intended_use": "Research on class imbalance.",
    "source_terms": "The images of the clinic stay in the clinic.",
    "date": "2026-11-29",
}


@pytest.fixture(scope="session")
def said() -> dict[str, str | None]:
    """What a publisher must say."""
    return dict(SAID)


@pytest.fixture(scope="session")
def publisher() -> Publisher:
    return read_publisher(dict(SAID), None)


@pytest.fixture(scope="session")
def composed(sealed_once: Path, publisher: Publisher) -> Release:
    """The release of the small clinic's dataset: synthetic shards, a list of the real half."""
    manifest = sealed_once / "manifests" / "gan100.json"
    return compose(manifest, publisher, root=None, tables=[], progress=progress)


@pytest.fixture(scope="session")
def shared_once(tmp_path_factory: pytest.TempPathFactory, composed: Release) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "gan100"
    assert write_release(composed, folder, key=None, progress=progress)
    return folder


@pytest.fixture
def shared_folder(tmp_path: Path, shared_once: Path) -> Path:
    """A release that the test may damage."""
    return Path(shutil.copytree(shared_once, tmp_path / "gan100"))


@pytest.fixture(scope="session")
def manifest(sealed_once: Path) -> Manifest:
    return load_manifest(sealed_once / "manifests" / "gan100.json")


@pytest.fixture(scope="session")
def index(manifest: Manifest, sealed_once: Path) -> Index:
    return load_index(manifest, sealed_once)


@pytest.fixture(scope="session")
def text_of(composed: Release) -> Callable[[str], str]:
    """The text of a file of the release."""

    def of(path: str) -> str:
        data = next(file.data for file in composed.files if file.path == path)
        assert data is not None
        return data.decode()

    return of


@pytest.fixture(scope="session")
def nih_once(
    tmp_path_factory: pytest.TempPathFactory, xbuild: Callable[..., object]
) -> tuple[Manifest, Index, Path]:
    """The synthetic half alone, of NIH's shipped table, with the path of its manifest."""
    out = tmp_path_factory.mktemp("nih")
    xbuild(
        *("synth", "--dataset", "nih", "--real", "none", "--regime", "1", "--name", "nih1"),
        *("--generator", "phantom", "--image-size", 32, "--share", "0.1", "--workers", 1),
        *("--target", "Cardiomegaly", "--out", out),
    )
    path = out / "manifests" / "nih1.json"
    manifest = load_manifest(path)
    return manifest, load_index(manifest, out), path


@pytest.fixture
def sent(tmp_path: Path, sealed_once: Path) -> Path:
    """The clinic's manifest with its index, in the home of somebody else."""
    folder = tmp_path / "home" / "manifests"
    folder.mkdir(parents=True)
    for ending in ("json", "parquet"):
        shutil.copy(sealed_once / "manifests" / f"gan100.{ending}", folder)
    return folder / "gan100.json"


@pytest.fixture
def rebuilt(clinic: Path) -> Callable[..., Outcome]:
    """Rebuild a manifest in its place, with the clinic's table and images."""

    def again(path: Path, *, anyway: bool = False) -> Outcome:
        work = Work(out=path.parents[1], workers=1, skip_bad=False, progress=progress)
        return rebuild(path, Own(labels=clinic), work, anyway=anyway)

    return again


@pytest.fixture(scope="session")
def ssh_keygen() -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        pytest.skip("OpenSSH's ssh-keygen is not installed")
    return found


@pytest.fixture(scope="session")
def nih_table() -> Path:
    """NIH's label table, as torchxrayvision ships it."""
    from importlib.util import find_spec

    spec = find_spec("torchxrayvision")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "Data_Entry_2017_v2020.csv.gz"
