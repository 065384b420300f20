"""The paper's generator as it renders, and the files it refuses."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from builder.contract import Bytes, CheckError, UsageError
from builder.contract.radiograph import resize
from builder.generators import pggan
from builder.generators.pggan_format import Design
from builder.render import Floats

Tensors = dict[str, torch.Tensor]
Random = Callable[..., Tensors]
Write = Callable[..., Path]
Inputs = Callable[..., tuple[Floats, Floats]]
Images = Callable[..., Bytes]

SMALL = Design(
    labels=("Lung Lesion", "Fracture"),
    resolution=32,
    num_channels=1,
    latent_size=12,
    fmap_base=128,
    fmap_decay=1.0,
    fmap_max=24,
    normalize_latents=True,
    use_wscale=True,
    use_pixelnorm=True,
    pixelnorm_epsilon=1e-8,
    use_leakyrelu=True,
    fused_scale=True,
    lod=0.0,
)


@pytest.fixture
def images(write_pggan: Write, inputs: Inputs) -> Images:
    """Images of a network that was written to a file and loaded."""

    def make(design: Design, tensors: Tensors, count: int = 3) -> Bytes:
        return pggan.load(str(write_pggan(design, tensors)), 224)(*inputs(design, count))

    return make


# --- images --------------------------------------------------------------------------------------


def test_what_a_generator_is(write_pggan: Write, random_tensors: Random, inputs: Inputs) -> None:
    generator = pggan.load(str(write_pggan(SMALL, random_tensors(SMALL))), 224)
    assert generator.labels == ("Lung Lesion", "Fracture")
    assert generator.resolution == 32
    assert generator.latent_size == 12
    made = generator(*inputs(SMALL, 5))
    assert made.shape == (5, 32, 32)
    assert made.dtype == np.uint8
    assert made.std() > 20
    assert generator(*inputs(SMALL, 0)).shape == (0, 32, 32)


@pytest.mark.parametrize("lod", [0.0, 1.5])
def test_an_image_depends_on_its_own_row_alone(
    write_pggan: Write, random_tensors: Random, inputs: Inputs, lod: float
) -> None:
    design = replace(SMALL, lod=lod)
    generator = pggan.load(str(write_pggan(design, random_tensors(design))), 32)
    latents, labels = inputs(design, 7)
    together = generator(latents, labels)
    np.testing.assert_array_equal(together, generator(latents, labels))
    np.testing.assert_array_equal(together[2:5], generator(latents[2:5], labels[2:5]))
    np.testing.assert_array_equal(together[6:], generator(latents[6:], labels[6:]))
    assert (together[0] != together[1]).any()
    other = generator(latents, 1 - labels)
    assert all((a != b).any() for a, b in zip(together, other, strict=True))


@pytest.mark.parametrize("lod", [0.0, 0.5, 2.0])
def test_fused_and_unfused_upscaling_agree_on_the_turned_kernel(
    images: Images, random_tensors: Random, lod: float
) -> None:
    fused = replace(SMALL, lod=lod)
    tensors = random_tensors(fused)
    turned = {}
    for name, tensor in tensors.items():
        if name.endswith("Conv0_up/weight"):
            tensor = tensor.flip(0, 1).transpose(2, 3).contiguous()
        turned[name.replace("Conv0_up", "Conv0")] = tensor
    expected = images(fused, tensors).astype(int)
    made = images(replace(fused, fused_scale=False), turned)
    assert np.abs(made - expected).max() <= 1
    assert (made == expected).mean() > 0.999


def test_a_batch_at_once_as_on_a_gpu_gives_the_same_images(
    write_pggan: Write, random_tensors: Random, inputs: Inputs
) -> None:
    generator = pggan.load(str(write_pggan(SMALL, random_tensors(SMALL))), 32)
    latents, labels = inputs(SMALL, 4)
    with torch.inference_mode():
        made = generator._render(
            torch.from_numpy(np.concatenate((latents, labels), 1)).to(generator._device)
        )
        assert generator._render(torch.zeros(0, 14, device=generator._device)).shape == (0, 32, 32)
    difference = made.cpu().numpy().astype(int) - generator(latents, labels)
    assert np.abs(difference).max() <= 1


def test_images_are_resized_where_that_is_asked_for(
    write_pggan: Write, random_tensors: Random, inputs: Inputs
) -> None:
    generator = pggan.load(str(write_pggan(SMALL, random_tensors(SMALL))), 32)
    latents, labels = inputs(SMALL, 5)
    expected = np.stack([resize(image, 20) for image in generator(latents, labels)])
    assert np.array_equal(generator.start(latents, labels, 20)(), expected)
    assert generator.resizes == (generator.device == "cuda")  # elsewhere threads do it


def test_tf32_is_float32_on_a_cpu(
    write_pggan: Write, random_tensors: Random, inputs: Inputs
) -> None:
    path = str(write_pggan(SMALL, random_tensors(SMALL)))
    one, other = (pggan.load(path, 32, precision=p) for p in ("fp32", "tf32"))
    if one.device == "cpu":
        assert np.array_equal(one(*inputs(SMALL, 2)), other(*inputs(SMALL, 2)))
    assert (one._tf32, other._tf32) == (False, True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_images_of_the_cpu(
    images: Images, random_tensors: Random, inputs: Inputs
) -> None:
    tensors = random_tensors(SMALL)
    expected = pggan.PgganGenerator(SMALL, tensors, torch.device("cpu"))(*inputs(SMALL, 4))
    made = images(SMALL, tensors, count=4)
    assert np.abs(made.astype(int) - expected).max() <= 1


def test_a_grown_level_is_shown_as_large_pixels(images: Images, random_tensors: Random) -> None:
    design = replace(SMALL, lod=2.0)
    made = images(design, random_tensors(design))
    np.testing.assert_array_equal(made, made[:, ::4, ::4].repeat(4, 1).repeat(4, 2))
    assert (made[:, 4:] != made[:, :-4]).any()


@pytest.mark.parametrize(
    ("value", "grey"),
    [
        (-1.0, 0),
        (1.0, 255),
        (-1.7, 0),
        (9.0, 255),
        (0.0, 128),
        (-1 + 1 / 255, 0),
        (-1 + 3.1 / 255, 2),
    ],
)
def test_the_output_is_rounded_to_even_and_clipped(
    images: Images, random_tensors: Random, value: float, grey: int
) -> None:
    design = replace(SMALL, resolution=4)
    tensors = random_tensors(design)
    tensors["ToRGB_lod0/weight"].zero_()
    tensors["ToRGB_lod0/bias"].fill_(value)
    assert (images(design, tensors) == grey).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_computed_in_float32(
    images: Images, random_tensors: Random, dtype: torch.dtype
) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in random_tensors(SMALL).items()}
    made = images(SMALL, tensors)
    full = images(SMALL, {name: tensor.float() for name, tensor in tensors.items()})
    np.testing.assert_array_equal(made, full)


def test_the_largest_resolution_runs(images: Images, random_tensors: Random) -> None:
    design = replace(SMALL, resolution=1024, fmap_base=256, fmap_max=4)
    made = images(design, random_tensors(design), count=1)
    assert made.shape == (1, 1024, 1024)
    assert made.std() > 0


def test_an_image_that_overflows_is_black(images: Images, random_tensors: Random) -> None:
    tensors = random_tensors(SMALL)
    tensors["ToRGB_lod0/weight"] = torch.full_like(tensors["ToRGB_lod0/weight"], 3e38)
    assert not images(SMALL, tensors).any()


def test_bfloat16_gives_nearly_the_same_images(
    write_pggan: Write, random_tensors: Random, inputs: Inputs
) -> None:
    path = str(write_pggan(SMALL, random_tensors(SMALL)))
    exact, fast = (pggan.load(path, 32, precision=p)(*inputs(SMALL, 4)) for p in ("fp32", "bf16"))
    difference = np.abs(exact.astype(int) - fast)
    assert 0 < difference.mean() < 8
    with pytest.raises(UsageError, match="The precision is fp32, tf32 or bf16, got 'fp16'"):
        pggan.load(path, 32, precision="fp16")


# --- refusals ------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(CheckError) as caught:
        pggan.load(str(path), 32)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_cut_anywhere_is_refused(
    write_pggan: Write, random_tensors: Random, tmp_path: Path
) -> None:
    path = tmp_path / "cut.safetensors"
    data = write_pggan(SMALL, random_tensors(SMALL)).read_bytes()
    for length in (0, 5, 8, 500, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert "cut off or not safetensors" in refusal(path)
    path.write_bytes(data + b"\0")
    assert "cut off or not safetensors" in refusal(path)
    path.write_bytes(struct.pack("<Q", 1 << 62) + data[8:])
    assert "cut off or not safetensors" in refusal(path)
    path.write_bytes(b"\x80\x04cposix\nsystem\n" + data)
    assert "cut off or not safetensors" in refusal(path)


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.safetensors")
    assert "not a regular file" in refusal(tmp_path)
    with pytest.raises(UsageError, match="write pggan:PATH"):
        pggan.load("", 32)


def test_a_file_without_our_header_is_refused(tmp_path: Path, random_tensors: Random) -> None:
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(save(random_tensors(SMALL), metadata=metadata))
        assert "no generator header" in refusal(path)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"generator": "phantom"}, "'phantom'"),
        ({"version": 2}, "version 2"),
        ({"labels": ["Fracture"]}, "takes 14 inputs, but 12 latents and 1 labels"),
        ({"resolution": 16, "maps": [24, 24, 16]}, "does not belong"),
        ({"resolution": 64, "maps": [24, 24, 16, 8, 4]}, "is missing"),
        ({"num_channels": 3}, "3 channels"),
    ],
)
def test_a_header_that_does_not_fit_the_tensors_is_refused(
    write_pggan: Write, random_tensors: Random, header: dict[str, object], said: str
) -> None:
    assert said in refusal(write_pggan(SMALL, random_tensors(SMALL), **header))


def test_tensors_that_are_not_weights_are_refused(
    write_pggan: Write, random_tensors: Random
) -> None:
    tensors = random_tensors(SMALL)
    whole = {**tensors, "4x4/Conv/bias": torch.zeros(24, dtype=torch.int64)}
    assert "4x4/Conv/bias is I64" in refusal(write_pggan(SMALL, whole))
    for value in (float("nan"), float("inf")):
        broken = {**tensors, "4x4/Conv/bias": torch.full((24,), value)}
        said = refusal(write_pggan(SMALL, broken))
        assert "4x4/Conv/bias holds values that are not finite" in said
    short = {**tensors, "4x4/Conv/bias": torch.zeros(23)}
    assert "4x4/Conv/bias has shape [23], expected [24]" in refusal(write_pggan(SMALL, short))


def test_a_file_beyond_any_generator_is_not_read(
    write_pggan: Write, random_tensors: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pggan(SMALL, random_tensors(SMALL))
    monkeypatch.setattr(pggan, "MAX_BYTES", 100)
    assert "more than the 100" in refusal(path)
