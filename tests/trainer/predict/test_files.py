import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from builder.contract import Bytes, UsageError
from builder.contract.radiograph import Reading
from trainer.predict import files as module


def test_no_more_is_read_than_is_needed_soon(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def note(path: Path, side: int, reading: Reading) -> Bytes:
        assert reading == Reading()
        read.append(path)
        return np.zeros((side, side), np.uint8)

    monkeypatch.setattr(module, "read_radiograph", note)
    images = module.find_images([folder])
    chunks = module.read_ahead(images, 64, Reading(), size=1, workers=2, skip_bad=False, pin=False)
    next(chunks)
    time.sleep(0.2)
    assert len(read) <= 1 + 2 + 2 < len(images.names)
    chunks.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_a_folder_of_an_archive_is_read(tmp_path: Path) -> None:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME1"
    made.Rows = made.Columns = 64
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    values = np.arange(4096, dtype="<u2")
    made.PixelData = values.tobytes()
    made["PixelData"].VR = "OW"
    (tmp_path / "series").mkdir()
    for name in ("series/IM0001", "._IM0001", "DICOMDIR"):
        made.save_as(tmp_path / name, enforce_file_format=True)
    (tmp_path / "series" / "report.txt").write_text("no image")
    images = module.find_images([tmp_path])
    assert images.names == ["series/IM0001"]
    how: dict[str, Any] = {"size": 2, "workers": 1, "skip_bad": False, "pin": False}
    (chunk,) = module.read_ahead(images, 64, Reading(), **how)
    shown = chunk.images.numpy().ravel()
    assert np.array_equal(shown, np.floor(255.5 - values * (255 / 4095)))


def test_a_link_out_of_the_folder_is_read_only_where_it_is_named(
    folder: Path, tmp_path: Path
) -> None:
    secret, link = tmp_path / "elsewhere/secret.png", folder / "link.png"
    secret.parent.mkdir()
    next(folder.glob("*.png")).rename(secret)
    link.symlink_to(secret)
    with pytest.raises(UsageError, match=rf"name the folder {secret.parent}, or the files one by"):
        module.find_images([folder])
    assert module.find_images([link]).names == [str(link)]
