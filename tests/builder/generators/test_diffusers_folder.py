"""A stranger's folder: what is refused, and that an honest one reads as meant."""

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from builder.contract import CheckError, UsageError
from builder.generators import diffusers, diffusers_folder
from builder.generators.diffusers import DiffusersGenerator
from builder.render import Floats

Load = Callable[..., DiffusersGenerator]
Inputs = Callable[..., tuple[Floats, Floats]]

UNET = "unet/diffusion_pytorch_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"


def edit(folder: Path, file: str, **changes: object) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_pipeline_of_the_first_diffusers_reads_the_same_and_quietly(
    folder: Path,
    pipeline: Path,
    load_tiny: Load,
    inputs: Inputs,
    capfd: pytest.CaptureFixture[str],
) -> None:
    checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    edit(folder, "model_index.json", safety_checker=checker, requires_safety_checker=True)
    edit(folder, "scheduler/scheduler_config.json", steps_offset=0)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(folder / VAE)
    for new, name in old.items():
        tensors = {key.replace(f".{new}.", f".{name}."): t for key, t in tensors.items()}
    assert "decoder.mid_block.attentions.0.query.weight" in tensors
    save_file(tensors, folder / VAE)
    generator = load_tiny(folder)
    drawn = inputs(generator)
    np.testing.assert_array_equal(generator(*drawn), load_tiny(pipeline)(*drawn))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("argument", ["", "absent", "vae"])
def test_what_is_not_a_pipeline_is_refused(
    pipeline: Path, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pipeline)
    with pytest.raises(UsageError, match=f"{argument!r} is not a folder with a pipel") as refusal:
        diffusers.load(argument, 224)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_a_missing_library_is_named(
    pipeline: Path, load_tiny: Load, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=r"pip install 'cxr-rebalance\[diffusion\]'"):
        load_tiny(pipeline)


@pytest.mark.parametrize(
    "name", ["a.bin", "a.PT", "a.ckpt", "a.pkl", "a.pickle", "a.py", "a.msgpack"]
)
def test_a_folder_with_code_or_pickles_is_refused(folder: Path, load_tiny: Load, name: str) -> None:
    (folder / "unet" / name).touch()
    with pytest.raises(CheckError, match=rf"unet/{name} may run code"):
        load_tiny(folder)


def test_a_folder_that_hides_another_is_refused(
    folder: Path, load_tiny: Load, tmp_path: Path
) -> None:
    shutil.move(folder / "unet", tmp_path / "elsewhere")
    (folder / "unet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckError, match="unet is a link to a folder"):
        load_tiny(folder)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]
)
def test_no_pickle_is_read_even_without_the_check(
    folder: Path, load_tiny: Load, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    (folder / f"{name}.safetensors").unlink()
    for pickled in (name, "text_encoder/pytorch_model"):
        (folder / f"{pickled}.bin").write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(CheckError, match=r"\.bin may run code"):
        load_tiny(folder)
    monkeypatch.setattr(diffusers_folder, "check_folder", lambda _: None)
    message = r"is not a complete pipeline in safetensors: OSError, .*\w\.$"
    with pytest.raises(CheckError, match=message):
        load_tiny(folder)
    assert not marker.exists()


BAD_INDEX: dict[str, tuple[dict[str, object], str]] = {
    "class": (
        {"_class_name": "StableDiffusionImg2ImgPipeline"},
        "'StableDiffusionImg2ImgPipeline'",
    ),
    "own class": ({"_class_name": ["pipeline", "Mine"]}, ".*'pipeline'.*, expected 'StableDiff"),
    "module": ({"unet": ["os", "system"]}, "'os.system' as 'unet', expected diffusers"),
    "more": ({"x": ["diffusers", "AutoModel"]}, "'diffusers.AutoModel' as 'x', expected nothing"),
    "another": (
        {"scheduler": ["diffusers", "DPMSolverSDEScheduler"]},
        "'diffusers.DPMSolverSDES.*PNDM",
    ),
    "none": ({"vae": [None, None]}, "'nothing' as 'vae', expected diffusers.AutoencoderKL"),
    "shape": ({"vae": [["diffusers"], {}]}, ".* as 'vae', expected diffusers.AutoencoderKL"),
}


@pytest.mark.parametrize("case", BAD_INDEX)
def test_an_index_that_asks_for_other_code_is_refused(
    folder: Path, load_tiny: Load, case: str
) -> None:
    changes, words = BAD_INDEX[case]
    edit(folder, "model_index.json", **changes)
    with pytest.raises(CheckError, match=rf"model_index\.json names {words}"):
        load_tiny(folder)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not valid JSON"),
        ("[]", "is not the index of a pipeline"),
        ("{}", "is not the index of a pipeline"),
        ("\ud800", "is not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("\x00", "is not valid JSON"),
    ],
)
def test_an_index_that_is_none_is_refused(
    folder: Path, load_tiny: Load, text: str, why: str
) -> None:
    (folder / "model_index.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(CheckError, match=rf"model_index\.json .*{why}"):
        load_tiny(folder)


@pytest.mark.parametrize("file", [UNET, VAE, "text_encoder/model.safetensors"])
def test_a_missing_tensor_is_never_drawn_at_random(
    folder: Path, load_tiny: Load, file: str
) -> None:
    tensors = load_file(folder / file)
    name, _ = tensors.popitem()
    save_file(tensors, folder / file, metadata={"format": "pt"})
    with pytest.raises(CheckError, match=f"{Path(file).parent} lacks .*{name[-8:]}"):
        load_tiny(folder)


def test_a_damaged_pipeline_is_refused(folder: Path, load_tiny: Load) -> None:
    weights = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(weights[:-100])
    with pytest.raises(CheckError, match="is not a complete pipeline in safetensors"):
        load_tiny(folder)
    (folder / UNET).write_bytes(weights)
    (folder / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(CheckError, match="is not a complete pipeline in safetensors"):
        load_tiny(folder)


SIZES: dict[str, tuple[str, dict[str, object], str]] = {
    "a wide network": (
        "unet/config.json",
        {"block_out_channels": [8192, 8192], "norm_num_groups": 32},
        "unet needs .* weights, more than it has",
    ),
    "a large vocabulary": (
        "text_encoder/config.json",
        {"vocab_size": 100_000, "hidden_size": 8192},
        "text_encoder needs .* weights, more than it has",
    ),
    "a million layers": (
        "text_encoder/config.json",
        {"num_hidden_layers": 10**6},
        "its num_hidden_layers is 1000000, and at most 64 is possible",
    ),
    "layers of blocks": ("unet/config.json", {"layers_per_block": [1, 999]}, "layers_per_block is"),
    "blocks": ("vae/config.json", {"block_out_channels": [32] * 99}, "channels has 99 entries"),
    "steps": (
        "scheduler/scheduler_config.json",
        {"num_train_timesteps": 10**10},
        "its num_train_timesteps is 10000000000, and at most",
    ),
    "an infinite step": ("scheduler/scheduler_config.json", {"beta_end": -1e300}, "beta_end is"),
}


@pytest.mark.parametrize("case", SIZES)
def test_a_config_that_asks_for_more_than_there_is_is_refused(
    folder: Path,
    load_tiny: Load,
    case: str,
    bearable: Callable[[], AbstractContextManager[None]],
) -> None:
    file, changes, said = SIZES[case]
    edit(folder, file, **changes)
    with bearable(), pytest.raises(CheckError, match=said):
        load_tiny(folder)


@pytest.mark.parametrize("file", ["unet/config.json", "tokenizer/vocab.json"])
def test_nested_json_of_a_part_is_refused(folder: Path, load_tiny: Load, file: str) -> None:
    (folder / file).write_text("[" * 100_000)
    with pytest.raises(CheckError, match=rf"{Path(file).name} is refused: .* nested too deeply"):
        load_tiny(folder)
