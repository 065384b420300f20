"""Contenders of benchmarks/fit.py take turns in one process; none computes as another asked."""

from argparse import Namespace
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn


@pytest.fixture
def fit(benchmark_script: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_script("fit")


class Noise(torch.utils.data.Dataset[tuple[np.ndarray, np.ndarray]]):
    """In place of loose files."""

    def __init__(self, work: Namespace, labels: np.ndarray) -> None:
        self.labels = labels[: work.count]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((1, 224, 224), np.float32), self.labels[number]


def test_each_pass_has_its_own_arithmetic(fit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []  # TF32 in convolutions, in other products

    class Network(nn.Sequential):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
            logits: torch.Tensor = super().forward(images)
            return logits

    def build(names: tuple[str, ...], **_: object) -> nn.Module:
        return Network(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(49, len(names)))

    monkeypatch.setattr(fit, "build", build)
    monkeypatch.setattr(fit, "Loose", Noise)
    monkeypatch.setattr(fit, "originals", lambda _: [np.zeros((224, 224), np.uint8)])
    default = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    options = Namespace(device="cpu", workers=1, images=8, batch=8)
    with fit.prepared(options) as (data, work):
        alone = Namespace(device="cpu", workers=0, batch=8)  # no process of its own for 8 images
        passes = [fit.papers_loop(data, alone, work)]
        for precision in ("fp32", "bf16"):  # the last one that is opened asks for TF32
            asked = fit.recipe(batch=8, precision=precision)
            passes.append(fit.ours(data, options, asked))
        for one in passes * 2:
            one()
    assert seen == [default, (False, False), (True, True)] * 2
