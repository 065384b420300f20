"""Whole runs: killed and resumed, failed, and what they leave on disk."""

import csv
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from builder.contract import CheckError, UsageError
from builder.fitgan import run
from builder.fitgan.settings import Settings
from builder.fitgan.train import Networks
from builder.generators.pggan import load
from builder.progress import Advance, Progress

Fit = Callable[..., Networks]
CheckSame = Callable[[Path, Path], None]


# --- a run killed and resumed --------------------------------------------------------------------


def stopping(iterations: int) -> Progress:
    """A progress bar that interrupts a run after so many iterations."""

    @contextmanager
    def show(title: str, total: int, unit: str = "") -> Iterator[Advance]:  # noqa: ARG001
        left = [iterations + 1]  # the first advance tells what was done before

        def advance(images: int) -> None:  # noqa: ARG001
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        yield advance

    return show


@pytest.mark.parametrize("iterations", [1, 5, 12])
def test_stopped_anywhere_and_resumed_it_ends_as_the_unbroken_run(
    fit: Fit, unbroken: Path, check_same: CheckSame, tmp_path: Path, iterations: int
) -> None:
    out = tmp_path / "gan.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(out, progress=stopping(iterations))
    assert not out.exists()
    fit(out)
    check_same(out, unbroken)


def test_killed_by_sigkill_it_ends_as_the_unbroken_run(
    fit: Fit,
    script: Callable[[Path], str],
    unbroken: Path,
    check_same: CheckSame,
    tmp_path: Path,
) -> None:
    out = tmp_path / "gan.safetensors"
    command = [sys.executable, "-c", script(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "7":
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    fit(out)
    check_same(out, unbroken)


@pytest.mark.slow
@pytest.mark.long
def test_the_command_killed_at_a_random_moment_ends_as_the_unbroken_run(
    manifest: Path, check_same: CheckSame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = [Path(sys.executable).with_name("xbuild"), "fit-gan", manifest, "--resolution", "32"]
    words += ["--kimg", "2", "--batch", "16", "--fmap-base", "128", "--fmap-max", "32"]
    words += ["--latent-size", "16", "--precision", "bf16", "--snapshot-kimg", "0.2", "--out"]
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
    check_same(broken, whole)


def test_a_kill_between_snapshot_and_history_is_mended(
    fit: Fit, copied: Path, unbroken: Path, check_same: CheckSame
) -> None:
    history = copied.with_suffix(".run") / "history.csv"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:-1]))
    fit(copied)
    check_same(copied, unbroken)


def test_what_a_failed_disk_left_beside_the_result_is_removed(fit: Fit, copied: Path) -> None:
    left = copied.with_name(".gan.card.md.12-0a.tmp")
    left.write_text("half")
    fit(copied)
    assert not left.exists()


def test_more_kimg_continue_a_run_and_fewer_are_refused(
    fit: Fit, copied: Path, tiny: Settings
) -> None:
    assert fit(copied, replace(tiny, kimg=0.4)).iteration == 25
    with pytest.raises(UsageError, match=r"already seen 0.4 kimg and --kimg asks for 0.32"):
        fit(copied)


def test_another_length_is_refused_once_the_learning_rate_has_begun_to_fall(
    fit: Fit, tiny: Settings, tmp_path: Path
) -> None:
    out, settings = tmp_path / "gan.safetensors", replace(tiny, lr_decay=0.25)
    with pytest.raises(KeyboardInterrupt):
        fit(out, replace(settings, kimg=1.6), progress=stopping(11))
    longer = replace(settings, kimg=0.32)
    networks = fit(out, longer)  # it had not begun after 10 of 100 iterations
    rates = {group["lr"] for group in networks.d_optimizer.param_groups}
    assert [*rates] == [pytest.approx(tiny.lr * 0.2)]
    with pytest.raises(UsageError, match=r"for another --kimg than 0\.4"):
        fit(out, replace(settings, kimg=0.4))
    whole = tmp_path / "whole.safetensors"
    fit(whole, longer)
    assert out.read_bytes() == whole.read_bytes()


def test_a_run_with_another_recipe_is_refused_with_its_field(
    fit: Fit, copied: Path, tiny: Settings
) -> None:
    with pytest.raises(UsageError, match=r"lr = 0.002 and now 0.001"):
        fit(copied, replace(tiny, lr=0.001))
    recipe = copied.with_suffix(".run") / "recipe.json"
    recipe.write_text(json.dumps({**json.loads(recipe.read_text()), "manifest": "0" * 64}))
    with pytest.raises(UsageError, match="begun with manifest"):
        fit(copied)


def test_the_precision_is_chosen_once_and_kept(
    fit: Fit, tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, asked, tried = tmp_path / "gan.safetensors", replace(tiny, precision="auto"), []

    def choose(*settings: object) -> str:
        tried.append(settings)
        return "bf16"

    monkeypatch.setattr(run, "fastest", choose)
    fit(out, replace(asked, kimg=0.16))
    recipe = json.loads((out.with_suffix(".run") / "recipe.json").read_text())
    assert recipe["precision"] == "bf16"
    fit(out, asked)
    assert len(tried) == 1
    assert "| precision | bf16 |" in out.with_suffix(".card.md").read_text()
    assert "--precision bf16" in out.with_suffix(".card.md").read_text()
    whole = tmp_path / "whole.safetensors"
    fit(whole, replace(tiny, precision="bf16"))
    assert out.read_bytes() == whole.read_bytes()  # as one that nothing interrupted
    with pytest.raises(UsageError, match="begun with precision = 'bf16' and now 'fp32'"):
        fit(out, tiny)
    with pytest.raises(UsageError, match="--precision tf32 is for NVIDIA GPUs"):
        fit(out, replace(tiny, precision="tf32"))
    with pytest.raises(UsageError, match="--compile is for GPUs, and this run is on cpu"):
        fit(out, replace(tiny, compile=True))


# --- a run that fails ----------------------------------------------------------------------------


def test_a_collapse_stops_the_run_and_keeps_the_last_snapshot(
    fit: Fit, copied: Path, tiny: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = (copied.with_suffix(".run") / "snapshot.pt").read_bytes()
    monkeypatch.setattr(run, "_CHECKED_FROM", 0.0)
    monkeypatch.setattr(run, "_MIN_SPREAD", 1e6)
    with pytest.raises(CheckError, match=r"collapsed at .*snapshot\.pt holds the last good"):
        fit(copied, replace(tiny, kimg=0.4))
    assert (copied.with_suffix(".run") / "snapshot.pt").read_bytes() == kept
    (copied.with_suffix(".run") / "snapshot.pt").unlink()
    with pytest.raises(CheckError, match=r"collapsed at .*, before the first snapshot; start over"):
        fit(copied, replace(tiny, kimg=0.4))


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_too_little_memory_is_one_sentence(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("builder.fitgan.train._update_generator", full)
    with pytest.raises(UsageError, match="The memory of cpu is too small for batches of 16 images"):
        fit(tmp_path / "gan.safetensors")


def test_another_suffix_is_refused(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.safetensors"):
        fit(tmp_path / "gan.bin")


def test_devices_by_name() -> None:
    assert run.pick_device("cpu").type == "cpu"
    assert run.pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UsageError, match="--device abacus is not available: try --device auto"):
        run.pick_device("abacus")


def test_a_rank_opens_its_own_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, nothing = list[int](), torch.zeros(0)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "set_device", opened.append)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: nothing)
    for visible, own in ((4, 2), (1, 0)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda visible=visible: visible)
        run.pick_device("cuda")
        assert opened.pop() == own


# --- the result ----------------------------------------------------------------------------------


def test_the_file_renders_what_the_average_does(fit: Fit, copied: Path, unbroken: Path) -> None:
    average = fit(copied).average
    with torch.no_grad():
        for weight in average.parameters():
            weight.copy_(weight.half().float())  # as it is stored
    generator = load(str(unbroken), 16)
    drawn = np.random.default_rng(0)
    latents = drawn.standard_normal((16, 8)).astype(np.float32)
    labels = drawn.integers(0, 2, (16, 3)).astype(np.float32)
    with torch.inference_mode():
        images = average(torch.from_numpy(latents), torch.from_numpy(labels))[:, 0]
    wanted = ((images + 1) / 2 * 255).round().clamp(0, 255).numpy()
    difference = np.abs(generator(latents, labels) - wanted)
    assert difference.max() <= 1  # sums in another order, at the edge of rounding
    assert (difference > 0).mean() < 1e-3


def test_the_files_of_a_run(unbroken: Path) -> None:
    assert load(str(unbroken), 16).unseen == ("Hernia",)
    folder = unbroken.with_suffix(".run")
    for name in ("sheet.png", "sheet-0kimg.png"):
        with Image.open(folder / name) as picture:
            assert picture.size == (112 + 8 * 16, 4 * 16)
    with (folder / "history.csv").open() as file:
        kimg = [float(row["kimg"]) for row in csv.DictReader(file)]
    assert kimg == pytest.approx([0.08, 0.16, 0.24, 0.32])
    assert unbroken.with_suffix(".card.md").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "{}", '{"precision": ["fp32"]}', "\xff"])
def test_a_recipe_that_is_none_notes_no_precision(tmp_path: Path, text: str) -> None:
    (tmp_path / "snapshot.pt").touch()
    (tmp_path / "recipe.json").write_text(text, encoding="latin-1")
    assert run._noted_precision(tmp_path) is None
