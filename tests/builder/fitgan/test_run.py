import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from builder.contract import CheckError, UsageError, load_manifest
from builder.fitgan import data, run, snapshot
from builder.fitgan.data import load_reals
from builder.fitgan.run import fit_gan
from builder.fitgan.settings import Settings
from builder.fitgan.train import Networks
from builder.generators.pggan import load

TINY = Settings(resolution=16, kimg=0.32, batch=16, fmap_base=64, fmap_max=16, latent_size=8)
LABELS = ("Mass", "Edema", "Hernia")  # Hernia has no positive


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, xbuild: Callable[..., Any]) -> Path:
    """140 images of 45 patients, 32 pixels, sealed."""
    folder = tmp_path_factory.mktemp("reals")
    random = np.random.default_rng(1)
    ramp = np.outer(np.linspace(0, 255, 32), np.linspace(1, 0, 32))
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "patient", "view", *LABELS])
        for i in range(140):
            pixels = np.clip(ramp + random.normal(0, 20, ramp.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:03d}.png")
            rows.writerow([f"{i:03d}.png", f"p{i % 45}", "PA", int(i % 7 == 0), int(i % 3 == 0), 0])
    words = ["--labels", folder / "labels.csv", "--image-size", 32, "--format", "png"]
    words += ["--target", "Mass", "--share", "0.2", "--workers", 1, "--out", folder]
    done = xbuild("synth", "--dataset", "table", *words)
    assert done.returncode == 0, done.stderr
    return folder / "manifests" / "gan100.json"


@contextmanager
def quiet(title: str, total: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG001 — the protocol
    yield lambda images: None  # noqa: ARG005


def fit(manifest: Path, out: Path, settings: Settings = TINY, **options: Any) -> Networks:
    asked: dict[str, Any] = {
        "settings": settings,
        "snapshot_kimg": 0.08,
        "device": torch.device("cpu"),
        "root": None,
        "watch": quiet,
    }
    return fit_gan(manifest, out=out, **asked | options)


@pytest.fixture(scope="module")
def unbroken(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "gan.safetensors"
    fit(manifest, out)
    return out


def same(one: Path, other: Path) -> None:
    assert one.read_bytes() == other.read_bytes()
    for name in ("history.csv", "curves.png", "recipe.json"):
        assert (one.with_suffix(".run") / name).read_bytes() == (
            other.with_suffix(".run") / name
        ).read_bytes(), name
    states = [
        torch.load(path.with_suffix(".run") / "snapshot.pt", weights_only=True)
        for path in (one, other)
    ]
    torch.testing.assert_close(*states, rtol=0, atol=0)


def copied(out: Path, folder: Path) -> Path:
    """Another place with the run of `out`, to be spoilt at will."""
    shutil.copytree(out.with_suffix(".run"), folder / "gan.run")
    return folder / "gan.safetensors"


# --- a run killed and continued ------------------------------------------------------------------


@pytest.mark.parametrize("iterations", [1, 5, 12])
def test_stopped_anywhere_and_resumed_it_ends_as_the_unbroken_run(
    manifest: Path, unbroken: Path, tmp_path: Path, iterations: int
) -> None:
    @contextmanager
    def stopping(title: str, total: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG001
        left = [iterations + 1]  # the first advance tells what was done before

        def advance(images: int) -> None:  # noqa: ARG001
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        yield advance

    out = tmp_path / "gan.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(manifest, out, watch=stopping)
    assert not out.exists()
    fit(manifest, out)
    same(out, unbroken)


def test_killed_by_sigkill_it_ends_as_the_unbroken_run(
    manifest: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gan.safetensors"
    script = SCRIPT.format(tests=str(Path(__file__).parent), manifest=manifest, out=out)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "7":
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    fit(manifest, out)
    same(out, unbroken)


SCRIPT = """
import sys; sys.path.insert(0, {tests!r})
from contextlib import contextmanager
from pathlib import Path
import torch; torch.set_num_threads(1)
import test_fitgan_run as t
@contextmanager
def telling(title, total):
    done = iter(range(-1, 10**6))
    next(done)
    yield lambda images: print(next(done), flush=True)
t.fit(Path("{manifest}"), Path("{out}"), watch=telling)
"""


@pytest.mark.slow
def test_the_command_killed_at_a_random_moment_ends_as_the_unbroken_run(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = [Path(sys.executable).with_name("xbuild"), "fit-gan", manifest, "--resolution", "32"]
    words += ["--kimg", "2", "--batch", "16", "--fmap-base", "128", "--fmap-max", "32"]
    words += ["--latent-size", "16", "--snapshot-kimg", "0.2", "--out"]
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    subprocess.run([*words, whole], check=True, stdout=subprocess.DEVNULL)
    rows = len((whole.with_suffix(".run") / "history.csv").read_text().splitlines()) - 1
    assert rows > 8
    history = broken.with_suffix(".run") / "history.csv"
    with subprocess.Popen([*words, broken], stdout=subprocess.DEVNULL) as process:
        kept = random.randint(1, rows - 4)  # anywhere after so many snapshots
        while not history.exists() or len(history.read_text().splitlines()) <= kept:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
    assert not broken.exists(), "it was killed too late to show anything"
    subprocess.run([*words, broken], check=True, stdout=subprocess.DEVNULL)
    same(broken, whole)


def test_a_kill_between_snapshot_and_history_is_mended(
    manifest: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = copied(unbroken, tmp_path)
    history = out.with_suffix(".run") / "history.csv"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:-1]))
    fit(manifest, out)
    same(out, unbroken)


def test_more_kimg_continue_a_run_and_fewer_are_refused(
    manifest: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = copied(unbroken, tmp_path)
    assert fit(manifest, out, replace(TINY, kimg=0.4)).iteration == 25
    with pytest.raises(UsageError, match=r"already seen 0.4 kimg and --kimg asks for 0.32"):
        fit(manifest, out)


def test_a_snapshot_of_another_recipe_is_refused_with_its_field(
    manifest: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = copied(unbroken, tmp_path)
    with pytest.raises(UsageError, match=r"lr = 0.002 and now 0.001"):
        fit(manifest, out, replace(TINY, lr=0.001))
    recipe = out.with_suffix(".run") / "recipe.json"
    recipe.write_text(json.dumps({**json.loads(recipe.read_text()), "manifest": "0" * 64}))
    with pytest.raises(UsageError, match="begun with manifest"):
        fit(manifest, out)


@pytest.mark.parametrize("spoilt", [b"no archive", None], ids=["cut off", "another version"])
def test_a_damaged_snapshot_is_one_sentence(
    manifest: Path, unbroken: Path, tmp_path: Path, spoilt: bytes | None
) -> None:
    out = copied(unbroken, tmp_path)
    path = out.with_suffix(".run") / "snapshot.pt"
    if spoilt is None:
        torch.save({"iteration": 3}, path)
    else:
        path.write_bytes(spoilt)
    with pytest.raises(UsageError, match="damaged or of another version"):
        fit(manifest, out)


def test_no_space_for_a_snapshot_keeps_the_last_one(
    manifest: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, payload: bytes) -> None:  # noqa: ARG001
        raise OSError(28, "No space left on device")

    out = copied(unbroken, tmp_path)
    kept = (out.with_suffix(".run") / "snapshot.pt").read_bytes()
    monkeypatch.setattr(snapshot, "write_last", full)
    with pytest.raises(CheckError, match=r"No space left on device.*the one before is kept"):
        fit(manifest, out, replace(TINY, kimg=0.4))
    assert (out.with_suffix(".run") / "snapshot.pt").read_bytes() == kept


# --- a run that fails ----------------------------------------------------------------------------


def test_losses_that_are_not_finite_stop_the_run(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=r"not finite at .* kimg: the last good snapshot is kept"):
        fit(manifest, tmp_path / "gan.safetensors", replace(TINY, lr=1e30))


def test_a_collapse_stops_the_run_and_keeps_the_last_snapshot(
    manifest: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copied(unbroken, tmp_path)
    kept = (out.with_suffix(".run") / "snapshot.pt").read_bytes()
    monkeypatch.setattr(run, "_JUDGED_FROM", 0.0)
    monkeypatch.setattr(run, "_COLLAPSED", 1e6)
    with pytest.raises(CheckError, match="collapsed at"):
        fit(manifest, out, replace(TINY, kimg=0.4))
    assert (out.with_suffix(".run") / "snapshot.pt").read_bytes() == kept


# --- the result ----------------------------------------------------------------------------------


def test_the_file_renders_what_the_average_does(
    manifest: Path, unbroken: Path, tmp_path: Path
) -> None:
    average = fit(manifest, copied(unbroken, tmp_path)).average
    with torch.no_grad():
        for weight in average.parameters():
            weight.copy_(weight.half().float())  # as it is stored
    generator = load(str(unbroken), 16)
    random = np.random.default_rng(0)
    latents = random.standard_normal((16, 8)).astype(np.float32)
    labels = random.integers(0, 2, (16, 3)).astype(np.float32)
    with torch.inference_mode():
        images = average(torch.from_numpy(latents), torch.from_numpy(labels))[:, 0]
    wanted = ((images + 1) / 2 * 255).round().clamp(0, 255).numpy()
    difference = np.abs(generator(latents, labels) - wanted)
    assert difference.max() <= 1  # sums in another order, at the edge of rounding
    assert (difference > 0).mean() < 1e-3


def test_card_header_and_pictures_say_what_was_made(manifest: Path, unbroken: Path) -> None:
    text = unbroken.with_suffix(".card.md").read_text()
    assert load_manifest(manifest).digest in text
    assert "| Hernia | 0 (never seen) |" in text
    assert load(str(unbroken), 16).unseen == ("Hernia",)
    folder = unbroken.with_suffix(".run")
    with Image.open(folder / "sheet.png") as picture:
        assert picture.size == (112 + 8 * 16, 4 * 16)
    with (folder / "history.csv").open() as file:
        kimg = [float(row["kimg"]) for row in csv.DictReader(file)]
    assert kimg == pytest.approx([0.08, 0.16, 0.24, 0.32])


@pytest.mark.parametrize("loss", ["wgan-gp", "logistic-r1"])
@pytest.mark.parametrize("conditioning", ["acgan", "projection"])
def test_every_loss_and_conditioning_trains_while_growing(
    manifest: Path, tmp_path: Path, loss: str, conditioning: str
) -> None:
    settings = replace(TINY, loss=loss, conditioning=conditioning, grow=True, diffaug=False)
    networks = fit(manifest, tmp_path / "gan.safetensors", settings)
    assert [row["lod"] for row in networks.history] == [1, 0, 0, 0]
    load(str(tmp_path / "gan.safetensors"), 16)


def test_growing_fades_every_resolution_in_by_the_half_of_the_run() -> None:
    settings = replace(TINY, resolution=64, kimg=160, grow=True)
    lods = [settings.lod_at(i) for i in range(settings.iterations)]
    assert lods[0] == 4
    assert lods == sorted(lods, reverse=True)
    assert all(lods[i] - lods[i + 1] < 0.01 for i in range(len(lods) - 1))
    assert not any(lods[len(lods) // 2 :])
    assert {1.0, 2.0, 3.0} <= set(lods)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 48}, "takes a power of two from 4 to 1024, got 48"),
        ({"loss": "hinge"}, "loss must be one of logistic-r1, wgan-gp, found 'hinge'"),
        ({"conditioning": "no"}, "conditioning must be one of"),
        ({"kimg": 0}, "kimg must be positive"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_settings_that_are_none(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(TINY, **change)


def test_shards_below_the_resolution_are_refused(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"hold 32×32 pixels .* 64: build them with"):
        fit(manifest, tmp_path / "gan.safetensors", replace(TINY, resolution=64))


def test_another_suffix_is_refused(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.safetensors"):
        fit(manifest, tmp_path / "gan.bin")


@pytest.mark.parametrize("minimum", ["MIN_IMAGES", "MIN_PATIENTS"])
def test_too_little_to_learn_from_is_refused(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minimum: str
) -> None:
    monkeypatch.setattr(data, minimum, 1000)
    with pytest.raises(UsageError, match="at the very least"):
        fit(manifest, tmp_path / "gan.safetensors")


def test_only_real_training_images_are_read_and_a_spoilt_shard_is_refused(
    manifest: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(manifest.parents[1], tmp_path / "root"))
    sealed = load_manifest(manifest)
    real = [s for s in sealed.shardlist if (s.split, s.origin) == ("train", "real")]
    reals = load_reals(sealed, root, 32)
    assert len(reals.images) == sum(shard.nsamples for shard in real)
    assert reals.unseen == ("Hernia",)
    halves = load_reals(sealed, root, 16).images.float()
    blocks = reals.images.float().reshape(-1, 16, 2, 16, 2).mean(dim=(2, 4))
    assert (halves - blocks).abs().max() <= 0.5
    for shard in sealed.shardlist:
        if shard not in real:
            (root / shard.url).unlink()
    load_reals(sealed, root, 32)  # never asks for the others
    with (root / real[0].url).open("r+b") as file:
        file.seek(600)
        file.write(b"spoilt")
    with pytest.raises(CheckError, match="its sha256 differs"):
        load_reals(sealed, root, 32)


def test_rare_pathologies_are_drawn_as_often_as_common_ones(manifest: Path) -> None:
    reals = load_reals(load_manifest(manifest), manifest.parents[1], 16)
    random = torch.Generator().manual_seed(0)
    drawn = reals.labels[reals.sample(4000, random)].mean(dim=0)
    assert drawn[0] > 1.7 * reals.labels.mean(dim=0)[0]
    assert drawn[2] == 0


# --- several processes ---------------------------------------------------------------------------


def test_two_processes_train_as_one(manifest: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "gan.safetensors"
    script = TEAM.format(tests=str(Path(__file__).parent), manifest=manifest, out=out)
    path = tmp_path / "team.py"
    path.write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(path)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    first = [
        [
            float(value)
            for value in (path.with_suffix(".run") / "history.csv")
            .read_text()
            .splitlines()[1]
            .split(",")
        ]
        for path in (unbroken, out)
    ]
    assert first[0] == pytest.approx(first[1], rel=1e-3, abs=1e-4)  # sums in another order


TEAM = """
import sys; sys.path.insert(0, {tests!r})
from pathlib import Path
import torch; torch.set_num_threads(1)
import test_fitgan_run as t
t.fit(Path("{manifest}"), Path("{out}"))
"""
