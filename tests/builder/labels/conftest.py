"""Label tables of a few lines and folders of small images, made on the spot; what is sealed."""

import subprocess
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from builder.contract import load_index, load_manifest
from builder.labels import LabelTable, read_labels
from builder.pack import real_samples
from builder.split import split_patients

Xbuild = Callable[..., subprocess.CompletedProcess[str]]
Packed = Callable[..., pd.DataFrame]

GROUPS = ["view", "sex", "age"]


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[[str], Path]:
    """Put a text into a CSV file and give its path."""

    def write(text: str) -> Path:
        path = tmp_path / "t.csv"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def groups() -> Callable[[LabelTable], list[list[str]]]:
    """View, sex and age band of every row of a table."""

    def read(table: LabelTable) -> list[list[str]]:
        rows: list[list[str]] = table.rows[GROUPS].to_numpy().tolist()
        return rows

    return read


@pytest.fixture
def radiograph() -> Callable[[Path], Path]:
    """Put 64 × 64 random greys, its own for each name, into an image file of the path's kind."""

    def draw(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(zlib.crc32(path.name.encode()))
        if path.suffix in (".dcm", ".dicom"):
            _save_dicom(path, random.integers(0, 4096, (64, 64), dtype=np.uint16))
        else:
            Image.fromarray(random.integers(0, 256, (64, 64), dtype=np.uint8)).save(path)
        return path

    return draw


def _save_dicom(path: Path, pixels: np.ndarray) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = DigitalXRayImageStorageForPresentation
    file.SOPInstanceUID = "1.2.3"
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    file.PixelData = pixels.tobytes()
    file.save_as(path, enforce_file_format=True)


@pytest.fixture
def packed(xbuild: Xbuild, tmp_path: Path) -> Packed:
    """Pack a dataset with the installed command; what is sealed of each image, by its name.

    Columns: split, patient (a hash), view, sex, age, and one per pathology.
    """

    def pack(
        dataset: str,
        *more: object,
        root: Path,
        labels: Path | None = None,
        official: bool = False,
    ) -> pd.DataFrame:
        out = tmp_path / "packed"
        words: list[object] = ["pack", "--dataset", dataset, "--root", root, "--out", out]
        words += [] if labels is None else ["--labels", labels]
        words += ["--split", "official"] if official else []
        done = xbuild(*words, "--image-size", 32, "--workers", 1, "--uncertain", "mask", *more)
        assert done.returncode == 0, done.stderr
        manifest = load_manifest(out / "manifests" / "real100.json")
        index = load_index(manifest, out)
        table = read_labels(dataset, labels=labels, root=root, official=official, uncertain="mask")
        samples = real_samples(table, range(len(table)), "train", 0)
        names = {s.key: image for s, image in zip(samples, table.rows["image"], strict=True)}
        sealed = pd.DataFrame(index.labels, columns=list(manifest.pathologies))
        for name in ("split", "patient", *GROUPS):
            sealed[name] = getattr(index, name)
        return sealed.set_index(pd.Index([names[key] for key in index.key], name="image"))

    return pack


@pytest.fixture
def same() -> Callable[[pd.DataFrame, pd.DataFrame], None]:
    """Whether what is sealed is what another reading of the tables found, cell by cell."""

    def check(sealed: pd.DataFrame, expected: pd.DataFrame) -> None:
        assert sealed.index.is_unique
        assert set(sealed.index) == set(expected.index)
        expected = expected.loc[sealed.index]
        for name in set(expected.columns) - {"patient"}:
            assert sealed[name].tolist() == expected[name].tolist(), name
        pairs = set(zip(sealed["patient"], expected["patient"], strict=True))
        assert len(pairs) == sealed["patient"].nunique() == expected["patient"].nunique()

    return check


@pytest.fixture
def by_hash() -> Callable[[Mapping[str, str], str], dict[str, str]]:
    """The split of each image by our hash of its patient, from images, patients and --holdout."""

    def split(patients: Mapping[str, str], holdout: str) -> dict[str, str]:
        images, both = list(patients), (Fraction(holdout), Fraction(holdout))
        found = split_patients(pd.Series(list(patients.values())), holdout=both)
        parts = {"train": found.train, "val": found.val, "test": found.test}
        return {images[row]: part for part, rows in parts.items() for row in rows}

    return split
