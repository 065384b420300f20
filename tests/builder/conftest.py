"""A small clinic: 60 radiograph-like files of 24 patients with a label table, made on the spot."""

import csv
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from PIL import Image

from builder.checks import Redraws
from builder.cli import main
from builder.contract import ImageSpec, Sample, Split
from builder.engines import local
from builder.recipe import Layout
from builder.render import Picture
from builder.share.check import check_release
from builder.store import files as store_files
from builder.store import remote as fetching
from builder.write import Painter

SHARED = Path(__file__).parents[3] / "shared"


for _variable in [name for name in os.environ if name.startswith("XBUILD_")]:
    del os.environ[_variable]  # the user's own options


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    """The port of an S3 server on this machine."""
    from moto.server import ThreadedMotoServer  # slow, and few tests need it

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the folder of real radiographs (../shared) is not here")
    return SHARED


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    """The label table; its images lie next to it; one is 16-bit, one is colour, sizes differ."""
    return make_clinic(tmp_path / "clinic")


def make_clinic(folder: Path) -> Path:
    folder.mkdir()
    random = np.random.default_rng(7)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "patient", "view", "Mass", "Edema", "Pleural_Thickening"])
        for i in range(60):
            suffix = "png" if i % 3 == 0 else "jpg"
            name = f"{i:03d}.{suffix}"
            height, width = (48, 64) if i % 2 else (70, 50)
            pixels = random.integers(0, 255, (height, width), dtype=np.uint8)
            if i == 0:
                Image.fromarray(pixels.astype(np.uint16) * 257).save(folder / name)
            elif i == 1:
                Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(folder / name)
            else:
                Image.fromarray(pixels).save(folder / name)
            view = "PA" if i % 5 else "Lateral"
            mass, edema = int(i % 7 == 0), ["", "0", "1", "-1"][i % 4]
            rows.writerow([name, f"p{i % 24:02d}", view, mass, edema, int(i % 10 == 3)])
    return folder / "labels.csv"


Xbuild = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def xbuild() -> Xbuild:
    """Run the command in this process; stdout, stderr and exit code come back as from its own.

    The start of a process costs more than most of its work here: shards are made in this one, too,
    unless a test asks for `--workers`. `installed` runs the command as a user does.
    """

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words, code = list(map(str, arguments)), None
        with pytest.MonkeyPatch.context() as patch, CliRunner().isolation() as (out, err, _):
            patch.setattr(local, "usable_cores", lambda: 1)
            patch.setattr(sys, "argv", ["xbuild", *words])
            try:
                main()
            except SystemExit as ended:
                code = ended.code
            sys.stdout.flush()
        assert code is None or isinstance(code, int)
        said, told = (stream.getvalue().decode() for stream in (out, err))
        return subprocess.CompletedProcess(["xbuild", *words], code or 0, said, told)

    return run


@pytest.fixture(scope="session")
def installed() -> Xbuild:
    """Run the installed command as a user does; stdout, stderr and exit code come back."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("xbuild"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run


def install(folder: Path, module: str, code: str, entry_points: str) -> None:
    """An installed package of one module in a folder that is on Python's path."""
    (folder / f"{module}.py").write_text(code)
    about = folder / f"{module}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(entry_points)


@pytest.fixture(scope="session")
def install_package() -> Callable[[Path, str, str, str], None]:
    return install


@pytest.fixture
def small(clinic: Path) -> list[object]:
    """Arguments that build a small dataset from the clinic in about a second."""
    return arguments_for(clinic)


def arguments_for(labels: Path) -> list[object]:
    return [
        *("synth", "--dataset", "table", "--labels", labels, "--image-size", 32),
        *("--target", "Mass", "--target", "Pleural_Thickening", "--shard-size", 16),
        *("--holdout", "0.1", "0.1", "--share", "0.2"),
    ]


@pytest.fixture(scope="session")
def sealed_once(tmp_path_factory: pytest.TempPathFactory, xbuild: Xbuild) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    labels = make_clinic(folder / "clinic")
    done = xbuild(
        *arguments_for(labels), "--uncertain", "mask", "--out", folder / "out", "--workers", 1
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture
def sealed(tmp_path: Path, sealed_once: Path) -> Path:
    """A folder with the sealed dataset gan100 in it, which the test may damage."""
    return Path(shutil.copytree(sealed_once, tmp_path / "sealed"))


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory, xbuild: Xbuild) -> Path:
    folder = tmp_path_factory.mktemp("built")
    labels = make_clinic(folder / "clinic")
    done = xbuild(*arguments_for(labels), "--out", folder / "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture
def built(tmp_path: Path, built_once: Path) -> Path:
    """What `small` builds, with file times of its own."""
    return Path(shutil.copytree(built_once, tmp_path / "out"))


@pytest.fixture(scope="session")
def hashes() -> Callable[[Path], dict[str, str]]:
    """The sha256 of every file below a folder."""

    def of(out: Path) -> dict[str, str]:
        return {
            str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(out.rglob("*"))
            if path.is_file()
        }

    return of


# --- a recipient ---------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder that a recipient's copy goes to; it is not there yet."""
    return tmp_path / "home" / "set"


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is the test's own, and empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def quick(own_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Waits are short, and a file of the small release takes several requests."""
    monkeypatch.setattr(fetching, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(fetching, "BLOCK", 5000)
    monkeypatch.setattr(store_files, "BLOCK", 5000)


@pytest.fixture(scope="session")
def is_whole(hashes: Callable[[Path], dict[str, str]]) -> Callable[[Path, Path], bool]:
    """Whether a folder has every file of a release, and no fault."""

    def of(folder: Path, shared: Path) -> bool:
        there, here = hashes(shared), hashes(folder)
        return {path: here.get(path) for path in there} == there and not list(check_release(folder))

    return of


# --- parts of a dataset, for tests of single rooms ------------------------------------------------

MakeSample = Callable[..., Sample]


@pytest.fixture(scope="session")
def synthetic() -> MakeSample:
    """A synthetic sample by its draw number."""

    def make(draw: int, target: str = "Mass", labels: tuple[int, ...] = (1,)) -> Sample:
        return Sample(
            key=f"x-{target.lower()}-{draw:07d}",
            split="train",
            origin="synthetic",
            target=target,
            draw=draw,
            patient="",
            labels=labels,
        )

    return make


@pytest.fixture(scope="session")
def real() -> MakeSample:
    """A real sample by its number."""

    def make(number: int, labels: tuple[int, ...] = (1,), split: Split = "train") -> Sample:
        return Sample(
            key=f"real-{split}-{number:05d}",
            split=split,
            origin="real",
            target="",
            draw=-1,
            patient=f"{number:016x}",
            labels=labels,
        )

    return make


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPainter:
    """Produces the pictures that it was given."""

    images: npt.NDArray[np.uint8]
    redraws: Redraws | None = None

    def produce(self, samples: Sequence[Sample]) -> Iterator[Picture]:
        for sample, pixels in zip(samples, self.images, strict=True):
            yield Picture(sample=sample, pixels=pixels)


@pytest.fixture(scope="session")
def painter_of() -> Callable[..., Painter]:
    """A painter of given images, uint8 [N, H, W]."""

    def make(images: npt.NDArray[np.uint8], redraws: Redraws | None = None) -> Painter:
        return ArrayPainter(images=images, redraws=redraws)

    return make


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """PNG images of 16 pixels with the one label Mass."""
    spec = ImageSpec(height=16, width=16, codec="png", quality=0)
    return Layout(root=tmp_path / "out", pathologies=("Mass",), image=spec)
