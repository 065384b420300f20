import threading
import time
from pathlib import Path

import numpy as np
import pytest

from builder.contract import Bytes
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
