"""Who renders: processes, GPUs, threads, and images per call."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from builder.engines import local
from builder.engines.local import LocalEngine, images_per_call
from builder.render import BATCH, GPU_BATCH


class OnCpu:
    labels, resolution, latent_size = ("Mass",), 8, 2

    def __call__(
        self, latents: npt.NDArray[np.float32], _: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        return np.zeros((len(latents), 8, 8), np.uint8)


class OnGpu(OnCpu):
    device = "cuda"


@pytest.fixture
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.engines.local.usable_cores", lambda: 16)


@pytest.mark.usefixtures("_sixteen_cores")
def test_a_process_per_core_leaves_no_core_for_threads() -> None:
    made = LocalEngine.of(OnCpu(), workers=None)
    assert (made.workers, made.gpus, made.threads) == (16, (), 0)
    assert LocalEngine.of(OnCpu(), workers=4).threads == 3


@pytest.mark.usefixtures("_sixteen_cores")
def test_a_process_per_gpu_has_threads_that_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    made = LocalEngine.of(OnGpu(), workers=None)
    assert (made.workers, made.gpus, made.threads) == (2, ("5", "7"), 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert LocalEngine.of(OnGpu(), workers=None).gpus == ("0", "1")


def test_the_batch_is_fixed_unless_a_trial_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "best_batch", lambda _: 256)
    assert images_per_call(OnGpu(), None, tmp_path) == GPU_BATCH
    assert images_per_call(OnGpu(), 32, tmp_path) == 32
    assert images_per_call(OnGpu(), "auto", tmp_path) == 256
    assert images_per_call(OnCpu(), "auto", tmp_path) == images_per_call(OnCpu(), None, tmp_path)
    assert images_per_call(OnCpu(), None, tmp_path) == BATCH


def test_a_resumed_build_keeps_the_batch_of_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "best_batch", lambda _: 256)
    (tmp_path / "recipe.json").write_text('{"batch": 512}')
    assert images_per_call(OnGpu(), "auto", tmp_path) == 256  # nothing is finished
    (tmp_path / "train-00000-of-00001.tar").touch()
    assert images_per_call(OnGpu(), "auto", tmp_path) == 512
