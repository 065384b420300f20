"""What pixels depend on when a GPU makes them is noted, and a build does not go on under others."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from builder import generators
from builder.blueprint import prepare
from builder.build import synth
from builder.contract import Bytes, Manifest, UsageError, load_manifest
from builder.engines.make import Work
from builder.progress import progress
from builder.recipe import Request
from builder.render import Floats
from builder.share.lockfile import Own, recall, request_of


class Fake:
    """Noise that shows how many images a call has, as a GPU's rounding does."""

    labels, resolution, latent_size = ("Mass", "Pleural_Thickening"), 32, 4
    alike_cpus: tuple[str, ...] = (torch.backends.cpu.get_cpu_capability(),)

    def __init__(self, device: str) -> None:
        self.device = device

    def __call__(self, latents: Floats, labels: Floats) -> Bytes:
        assert len(latents) == len(labels)
        seeds = (np.abs(latents).sum(axis=1) * 1e6).astype(int).tolist()
        random = [np.random.default_rng((len(latents), seed)) for seed in seeds]
        return np.stack([r.integers(0, 255, (32, 32), dtype=np.uint8) for r in random])


Build = Callable[..., Manifest]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a card of that name into this machine; "" takes it out."""

    def put(card: str) -> None:
        fake = Fake("cuda" if card else "cpu")
        loaded = generators.Loaded(name="phantom", sha256="0" * 64, generator=fake)
        monkeypatch.setattr(generators, "find", lambda *_: loaded)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: card)
        monkeypatch.setattr(torch.version, "cuda", "99.1")
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 98765)

    return put


@pytest.fixture
def build(clinic: Path, tmp_path: Path) -> Build:
    """Builds the synthetic half into one place, with changes to the request."""
    request = Request(
        dataset="table",
        labels=clinic,
        targets=("Mass",),
        share="0.2",
        holdout=("0.1", "0.1"),
        real="none",
        generator="phantom",
        codec="png",
    )

    def make(out: str = "out", **changes: Any) -> Manifest:
        work = Work(out=tmp_path / out, workers=1, skip_bad=False, progress=progress)
        name = synth(prepare(replace(request, **changes)), work).manifest.name
        return load_manifest(tmp_path / out / "manifests" / f"{name}.json")

    return make


def test_a_gpu_build_notes_batch_card_and_versions(
    gpu: Callable[[str], None], build: Build
) -> None:
    gpu("Card 1")
    sealed = build()
    assert sealed.recipe["batch"] == 128
    assert sealed.recipe["precision"] == "fp32"
    found = {name: sealed.software[name] for name in ("device", "cuda", "cudnn")}
    assert found == {"device": "Card 1", "cuda": "99.1", "cudnn": "98765"}
    assert "torch" in sealed.software


def test_a_gpu_build_goes_on_under_the_same_alone(
    gpu: Callable[[str], None], build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu("Card 1")
    first = build(batch=32)
    assert build(batch=32).shardlist == first.shardlist
    for batch in (None, 64):
        with pytest.raises(UsageError, match=r"begun with batch = 32 and now (128|64) is"):
            build(batch=batch)
    with pytest.raises(UsageError, match="begun with precision = 'fp32' and now 'tf32'"):
        build(batch=32, precision="tf32")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 98766)
    with pytest.raises(UsageError, match="begun with cudnn = '98765' and now '98766'"):
        build(batch=32)
    gpu("Card 2")
    with pytest.raises(UsageError, match="begun with device = 'Card 1' and now 'Card 2'"):
        build(batch=32)
    gpu("")
    with pytest.raises(UsageError, match="begun with device = 'Card 1' and now None"):
        build(batch=32)


def test_a_cpu_build_notes_neither(gpu: Callable[[str], None], build: Build) -> None:
    gpu("")
    sealed = build(batch=7)
    assert "batch" not in sealed.recipe
    assert not {"device", "cuda", "cudnn"} & {*sealed.software}


def test_a_build_does_not_go_on_on_a_cpu_that_rounds_otherwise(
    gpu: Callable[[str], None], build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu("")
    build()
    monkeypatch.setattr(Fake, "alike_cpus", ())
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "SVE256")
    with pytest.raises(UsageError, match=r"begun with device = None and now '.* with SVE256'"):
        build()
    assert build("other").software["device"].endswith(" with SVE256")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    with pytest.raises(UsageError, match=r"begun with device = '.* with SVE256' and now '.*AVX2'"):
        build("other")


def test_a_rebuild_takes_the_batch_of_the_manifest(
    gpu: Callable[[str], None], build: Build, clinic: Path, tmp_path: Path
) -> None:
    gpu("Card 1")
    sealed = build(batch=32)
    path, own = tmp_path / "out/manifests/gan100.json", Own(labels=clinic)
    assert asdict(request_of(sealed, path, own))["batch"] == 32
    assert recall(sealed, path, own, anyway=False).refusals == ()
    other = recall(sealed, path, replace(own, batch=64), anyway=True).refusals
    assert other == ("batch is 32 there and 64 here",)
    gpu("")
    refusals = recall(sealed, path, own, anyway=True).refusals
    assert "device is Card 1 there and unknown here" in refusals
