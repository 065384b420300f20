"""Training a generator: exact resume, what it refuses, and a result that `--generator` reads."""

import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from builder.contract import CheckError, UsageError, load_manifest
from builder.fitgan import run as fitgan_run
from builder.fitgan.data import load_reals
from builder.fitgan.diffaug import augment
from builder.fitgan.losses import gradient_penalty, r1_penalty
from builder.fitgan.networks import Discriminator, Generator
from builder.fitgan.run import fit_gan
from builder.fitgan.train import Settings, iterate, make_networks, stream
from builder.generators import pggan

TINY = Settings(resolution=16, kimg=0.128, batch=8, latent_size=8, fmap_base=64, fmap_max=16)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed demo dataset of small images; its manifest."""
    out = tmp_path_factory.mktemp("phantoms")
    words = "--dataset demo --regime 0.2 --image-size 32 --holdout 0.001 0.001 --target Edema"
    xbuild = Path(sys.executable).with_name("xbuild")
    command = [xbuild, "synth", *words.split(), "--share", "0.2", "--out", out, "--workers", "1"]
    subprocess.run(command, check=True, capture_output=True)
    return out / "manifests" / "gan0_2.json"


@contextmanager
def quiet(_title: str, _total: int) -> Iterator[object]:
    yield lambda _: None


def fit(manifest: Path, out: Path, settings: Settings = TINY, every: float = 0.032) -> None:
    fit_gan(
        manifest,
        out=out,
        settings=settings,
        snapshot_kimg=every,
        device=CPU,
        root=None,
        watch=quiet,  # type: ignore[arg-type]
    )


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out.parent)): path.read_bytes()
        for path in sorted(out.parent.rglob("*"))
        if path.is_file() and path.suffix != ".pt"
    }


@pytest.mark.parametrize(
    "settings",
    [TINY, replace(TINY, loss="wgan-gp", conditioning="acgan", diffaug=False, grow=True)],
    ids=["logistic", "the paper's"],
)
def test_a_run_leaves_a_generator_that_synth_reads(
    phantoms: Path, tmp_path: Path, settings: Settings
) -> None:
    out = tmp_path / "gan.safetensors"
    fit(phantoms, out, settings)
    generator = pggan.load(str(out), 16)
    manifest = load_manifest(phantoms)
    assert generator.labels == manifest.pathologies
    latents = torch.randn(4, 8, generator=stream(0, 0, "test"))
    labels = torch.eye(14)[:4]
    images = generator(latents.numpy(), labels.numpy())
    assert images.shape == (4, 16, 16)
    state = torch.load(out.with_suffix(".run") / "snapshot.pt", weights_only=True)
    average = Generator(settings.design(manifest.pathologies), stream(0, 0, "any"))
    average.load_state_dict(state["average"])
    with torch.inference_mode():
        own = ((average(latents, labels)[:, 0] + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(own - images).max() <= 1, "float16 in the file moves a grey level at most"
    history = (out.with_suffix(".run") / "history.csv").read_text()
    rows = list(csv.DictReader(history.splitlines()))
    assert [row["kimg"] for row in rows] == ["0.032", "0.064", "0.096", "0.128"]
    card = out.with_suffix(".card.md").read_text()
    assert manifest.digest in card
    assert "| Fracture |" in card
    with Image.open(out.with_suffix(".run") / "sheet.png") as sheet:
        assert sheet.size == (112 + 8 * 16, 15 * 16)


@pytest.mark.slow
def test_killed_at_any_step_it_ends_like_the_unbroken_run(phantoms: Path, tmp_path: Path) -> None:
    words = "--resolution 32 --kimg 1 --batch 16 --fmap-base 64 --fmap-max 16 --latent-size 8"
    command = [Path(sys.executable).with_name("xbuild"), "fit-gan", phantoms, *words.split()]
    command += ["--snapshot-kimg", "0.16", "--device", "cpu"]
    whole, killed = tmp_path / "whole" / "g.safetensors", tmp_path / "killed" / "g.safetensors"
    subprocess.run([*command, "--out", whole], check=True, capture_output=True)
    seed = random.SystemRandom().randrange(1 << 32)
    moments = random.Random(seed)
    for _ in range(3):
        process = subprocess.Popen([*command, "--out", killed], stdout=subprocess.DEVNULL)
        time.sleep(moments.uniform(3, 7))
        process.kill()
        process.wait()
    subprocess.run([*command, "--out", killed], check=True, capture_output=True)
    assert files(killed) == files(whole), seed


def test_interrupted_in_the_loop_it_ends_like_the_unbroken_run(
    phantoms: Path, tmp_path: Path
) -> None:
    fit(phantoms, tmp_path / "whole" / "g.safetensors")
    out = tmp_path / "broken" / "g.safetensors"
    for kimg in (0.04, 0.1, TINY.kimg):  # ends off the snapshots' grid, then goes on
        fit(phantoms, out, replace(TINY, kimg=kimg), every=0.016)
    fit(phantoms, tmp_path / "other" / "g.safetensors", every=0.016)
    assert out.read_bytes() == (tmp_path / "whole" / "g.safetensors").read_bytes()
    assert out.read_bytes() == (tmp_path / "other" / "g.safetensors").read_bytes()


def test_a_run_of_another_recipe_is_refused(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.safetensors"
    fit(phantoms, out)
    with pytest.raises(UsageError, match=r"begun with lr = 0\.002 and now 0\.1"):
        fit(phantoms, out, replace(TINY, lr=0.1))


def test_a_damaged_snapshot_is_refused(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.safetensors"
    fit(phantoms, out)
    snapshot = out.with_suffix(".run") / "snapshot.pt"
    snapshot.write_bytes(snapshot.read_bytes()[:1000])
    with pytest.raises(UsageError, match="is damaged"):
        fit(phantoms, out)


def test_divergence_and_collapse_keep_the_last_good_snapshot(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "g.safetensors"
    fit(phantoms, out, replace(TINY, kimg=0.032))
    snapshot = out.with_suffix(".run") / "snapshot.pt"
    good = snapshot.read_bytes()
    monkeypatch.setattr(fitgan_run, "_JUDGED_FROM", 0.0)
    monkeypatch.setattr(fitgan_run, "_COLLAPSED", 1e9)
    with pytest.raises(CheckError, match="collapsed at 0 kimg"):
        fit(phantoms, out)
    assert snapshot.read_bytes() == good
    wild = tmp_path / "wild.safetensors"
    with pytest.raises(CheckError, match="losses are not finite in iteration"):
        fit(phantoms, wild, replace(TINY, lr=1e30))
    assert not wild.exists()


def test_bad_requests_are_refused(phantoms: Path, tmp_path: Path, sealed: Path) -> None:
    manifest = load_manifest(phantoms)
    root = phantoms.parent.parent
    for resolution, message in ((24, "power of two"), (64, "build them with --image-size 64")):
        with pytest.raises(UsageError, match=message):
            load_reals(manifest, root, resolution)
    small = sealed / "manifests" / "gan100.json"
    with pytest.raises(UsageError, match="real training images of"):
        fit(small, tmp_path / "g.safetensors")
    assert not (tmp_path / "g.safetensors").exists()


def test_only_real_training_images_are_seen_by_blocks(phantoms: Path) -> None:
    manifest = load_manifest(phantoms)
    root = phantoms.parent.parent
    reals = load_reals(manifest, root, 32)
    assert len(reals.images) == manifest.plan.real
    half = load_reals(manifest, root, 16)
    blocks = reals.images.reshape(-1, 16, 2, 16, 2).float().mean(dim=(2, 4))
    assert (blocks - half.images).abs().max() <= 0.5
    rows = reals.sample(4000, stream(0, 0, "test"))
    rare = reals.labels[:, manifest.pathologies.index("Fracture")]
    assert rare[rows].mean() > 1.3 * rare.mean(), "half of the draws go by pathology"


def test_unseen_labels_are_named_and_refused_as_targets(phantoms: Path, tmp_path: Path) -> None:
    from builder.render import check_generator

    out = tmp_path / "g.safetensors"
    fit(phantoms, out, replace(TINY, kimg=0.016))
    header = json.loads(out.read_bytes()[8:][: int.from_bytes(out.read_bytes()[:8], "little")])
    text = json.loads(header["__metadata__"]["header"])
    assert text["unseen"] == []
    generator = pggan.load(str(out), 16)
    generator.unseen = ("Fracture",)
    with pytest.raises(UsageError, match="has never seen Fracture"):
        check_generator(generator, name="g", targets=["Fracture"], image_size=16)


def test_growing_starts_coarse_and_ends_at_full_resolution() -> None:
    settings = replace(TINY, resolution=64, grow=True, kimg=100, batch=10)
    lods = [settings.lod_at(i) for i in range(settings.iterations)]
    assert lods[0] == 4.0
    assert lods[-1] == 0.0
    assert all(a >= b for a, b in pairwise(lods))
    assert lods.count(0.0) > len(lods) // 2
    assert {4.0, 3.0, 2.0, 1.0, 0.0} <= set(lods)
    assert len({lod for lod in lods if lod % 1}) > 100, "each resolution is faded in"
    assert replace(settings, grow=False).lod_at(0) == 0.0


@pytest.mark.parametrize("conditioning", ["projection", "acgan"])
def test_the_discriminator_grows_smoothly(conditioning: str) -> None:
    design = TINY.design(("A", "B"))
    critic = Discriminator(design, conditioning, stream(0, 0, "d"))
    images = torch.randn(4, 1, 16, 16, generator=stream(0, 0, "x"))
    labels = torch.eye(2).repeat(2, 1)
    before, _ = critic(images, labels, 1.0)
    after, logits = critic(images, labels, 1.0 - 1e-4)
    assert torch.allclose(before, after, atol=1e-2)
    assert logits.shape == (4, 2 if conditioning == "acgan" else 0)


def test_penalties_are_the_gradients_they_name() -> None:
    slope = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)

    def critic(images: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (images * slope).sum(dim=(1, 2, 3)), images[:, 0, 0, :0]

    images, norm = torch.randn(3, 1, 4, 4), slope.square().sum()
    assert r1_penalty(critic, images, images, 2.0) == pytest.approx(float(norm))
    found = gradient_penalty(critic, images, -images, images, stream(0, 0, "mix"))
    assert found == pytest.approx(float(10 * (norm.sqrt() - 1) ** 2), rel=1e-5)


def test_augmentation_is_differentiable_and_moves_images() -> None:
    images = torch.randn(6, 1, 16, 16, requires_grad=True)
    changed = augment(images, stream(0, 0, "a"))
    assert changed.shape == images.shape
    (gradient,) = torch.autograd.grad(changed.sum(), images)
    assert gradient.abs().sum() > 0
    assert torch.equal(changed, augment(images, stream(0, 0, "a")))
    assert not torch.equal(changed, augment(images, stream(0, 1, "a")))


def test_iterations_are_functions_of_seed_and_number(phantoms: Path) -> None:
    reals = load_reals(load_manifest(phantoms), phantoms.parent.parent, 16)

    def losses(seed: int) -> list[float]:
        settings = replace(TINY, seed=seed)
        networks = make_networks(settings, reals.pathologies, CPU)
        return [record["d_loss"] for record in iterate(networks, reals, settings)]

    assert losses(0) == losses(0) != losses(1)
