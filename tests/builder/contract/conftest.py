"""A sealed dataset as a careful forger would change it, and DICOM files made on the spot."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from builder.contract import index_bytes, load_index, load_manifest, sha256_bytes

Raw = dict[str, Any]
Change = Callable[[Raw], object]


@pytest.fixture
def manifest_path(sealed: Path) -> Path:
    """The manifest of a dataset that a test may spoil."""
    return sealed / "manifests" / "gan100.json"


@pytest.fixture
def spoil(manifest_path: Path) -> Callable[[Change], Path]:
    """Changes the manifest's JSON and gives its path."""

    def change_it(change: Change) -> Path:
        raw = json.loads(manifest_path.read_text())
        change(raw)
        manifest_path.write_text(json.dumps(raw))
        return manifest_path

    return change_it


@pytest.fixture
def rehash(sealed: Path, spoil: Callable[[Change], Path]) -> Callable[[], Path]:
    """Makes the manifest agree with the index as it is now, and gives its path."""

    def agree() -> Path:
        def change(raw: Raw) -> None:
            data = (sealed / raw["index"]["url"]).read_bytes()
            raw["index"]["sha256"] = sha256_bytes(data)

        return spoil(change)

    return agree


@pytest.fixture
def reseal(
    sealed: Path, manifest_path: Path, rehash: Callable[[], Path]
) -> Callable[[Change], Path]:
    """Changes the columns of the index, with a manifest that agrees."""

    def change_it(change: Change) -> Path:
        manifest = load_manifest(manifest_path)
        index = load_index(manifest, sealed)
        columns = {name: np.array(getattr(index, name)) for name in index.__slots__}
        change(columns)
        data = index_bytes(type(index)(**columns), manifest.pathologies)
        (sealed / manifest.index.url).write_bytes(data)
        return rehash()

    return change_it


@pytest.fixture(scope="session")
def write_dicom() -> Callable[..., Dataset]:
    """Writes a DICOM file of integers [H, W], as a `frame` if compressed, and gives its dataset."""

    def write(
        path: Path,
        pixels: npt.NDArray[np.integer[Any]],
        *,
        frame: bytes | None = None,
        syntax: UID = ExplicitVRLittleEndian,
        **elements: object,
    ) -> Dataset:
        bits = int(str(elements.get("BitsStored", 8 * pixels.dtype.itemsize)))
        made = Dataset()
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = syntax
        made.SOPClassUID = ComputedRadiographyImageStorage
        made.SOPInstanceUID = generate_uid()
        made.PatientName, made.PatientID, made.Modality = "Doe^Jane", "4711", "CR"
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.Rows, made.Columns = pixels.shape[-2:]
        made.BitsAllocated, made.BitsStored, made.HighBit = (
            8 * pixels.dtype.itemsize,
            bits,
            bits - 1,
        )
        made.PixelRepresentation = int(pixels.dtype.kind == "i")
        if frame is None:
            order = "<" if syntax.is_little_endian else ">"
            made.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
            made["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
        else:
            made.PixelData = encapsulate([frame])
            made["PixelData"].VR = "OB"
            made["PixelData"].is_undefined_length = True
        for name, value in elements.items():
            setattr(made, name, value)
            if value is None:
                del made[name]
        made.save_as(path, enforce_file_format=True)
        return made

    return write
