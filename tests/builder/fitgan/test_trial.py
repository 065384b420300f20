"""The trial runs the networks that a run would train, and leaves nothing behind."""

from dataclasses import replace

import pytest
import torch

from builder.contract import precision
from builder.fitgan import trial
from builder.fitgan.settings import Settings


def test_a_run_is_tried_in_both_precisions(tiny: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    make = trial.make_networks

    def watched(settings: Settings, *rest: object) -> object:
        tried.append((settings.precision, settings.batch))
        return make(settings, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(trial, "make_networks", watched)
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: True)
    settings = replace(tiny, precision="auto", grow=True, batch=64)
    chosen = trial.fastest(settings, ("Mass",), torch.device("cpu"))
    assert chosen in ("fp32", "bf16")
    assert tried == [("fp32", 16), ("bf16", 16)] * 3
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: False)
    assert trial.fastest(settings, ("Mass",), torch.device("cpu")) == "fp32"
    assert len(tried) == 6
