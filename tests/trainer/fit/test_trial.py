"""The trial takes real steps, and several processes on CPUs do without it."""

import pytest
import torch

from builder.contract import UsageError, precision
from trainer.fit import trial
from trainer.fit.trial import fastest


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, torch.dtype]]:
    """Images and dtype of the logits of each step, of a small network on a CPU with bfloat16."""
    found: list[tuple[int, torch.dtype]] = []

    def small(outputs: int, *_: object) -> torch.nn.Module:
        network = torch.nn.Sequential(torch.nn.Conv2d(1, outputs, 3), torch.nn.Flatten())
        network.register_forward_hook(lambda _, x, y: found.append((len(x[0]), y.dtype)))
        return network

    monkeypatch.setattr(trial, "make_network", small)
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: True)
    return found


def test_steps_of_a_run_are_tried_in_both_precisions(
    steps: list[tuple[int, torch.dtype]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for side, images in ((32, 20), (224, 4), (64, 16)):
        chosen = fastest("cpu", height=side, width=side, outputs=3, batch=20)
        assert chosen in ("fp32", "bf16")
        assert steps == [(images, torch.float32), (images, torch.bfloat16)] * 3
        steps.clear()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert fastest("cpu", height=32, width=32, outputs=3, batch=20) == "fp32"
    assert not steps
    with pytest.raises(UsageError, match="--device warp is not available"):
        fastest("warp", height=32, width=32, outputs=3, batch=20)
