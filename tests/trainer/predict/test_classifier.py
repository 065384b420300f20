from pathlib import Path

import pytest
import torch

from builder.contract import CheckError
from trainer.predict.classifier import load_classifier

CPU = torch.device("cpu")


def test_a_classifier_is_ready_to_predict(weights: Path) -> None:
    found = load_classifier(weights, CPU)
    assert found.pathologies == ("Mass", "Odd, (comma)")
    assert (found.height, found.width, found.device) == (64, 64, CPU)
    assert not found.model.training


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    path.write_bytes(b"junk" * 100)
    with pytest.raises(CheckError, match="not a file that xtrain saved"):
        load_classifier(path, CPU)
