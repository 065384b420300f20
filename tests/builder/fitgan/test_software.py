"""On a GPU its name and libraries are noted; on a CPU torch alone."""

from importlib.metadata import version

import pytest
import torch

from builder.fitgan.software import software


def test_a_cpu_is_not_named() -> None:
    assert software(torch.device("cpu")) == {"torch": version("torch")}


def test_a_gpu_is_named_with_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index}")
    monkeypatch.setattr(torch.version, "cuda", "99.1")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 98765)
    facts = software(torch.device("cuda:1"))
    del facts["torch"]
    assert facts == {"device": "Card 1", "cuda": "99.1", "cudnn": "98765"}
