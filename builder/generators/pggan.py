"""The paper's generator: a conditional progressive-growing GAN (Han et al. 2019, `G_paper`).

    latents, labels → pixel-norm → 4×4 dense, conv → (×2 conv, conv) per resolution → 1×1 to grey

Scaled weights and the fused upscaling kernels are computed once, when the file is read.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
import torch.nn.functional as F
from torch import Tensor

from builder.contract import Bytes, CheckError, UsageError, printable
from builder.contract.tensors import read_tensors_header
from builder.generators.pggan_format import (
    MAX_BYTES,
    Design,
    check_shapes,
    layer_shapes,
    parse_header,
    wscale,
)
from builder.render import Floats, exact
from builder.render.lanczos import resize_block, resize_on_device

_DTYPES = ("F32", "F16", "BF16")
_PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


class PgganGenerator:
    """Grey images of one conditional network; `labels` are its label inputs in order.

    On the CPU images are made one by one. This is as fast as in batches, because the large feature
    maps then stay in cache, and an image's pixels depend on its own latent and labels alone.
    """

    def __init__(
        self,
        design: Design,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        precision: str = "fp32",
    ) -> None:
        """Take over a network whose tensors fit the design (`check_shapes`).

        It runs in float32, in float32 with products in TF32 (where a GPU has it), or in bfloat16.
        """
        dtype = _PRECISIONS[precision]
        self.labels = design.labels
        self.unseen = design.unseen
        self.resolution = design.resolution
        self.latent_size = design.latent_size
        self._design = design
        self.device = device.type
        self.resizes = device.type == "cuda"
        self._tf32 = precision == "tf32"
        self._device, self._dtype = device, dtype
        # float32 convolutions: oneDNN is fastest on channels last, cuDNN on contiguous maps; tensor
        # cores want bfloat16 on channels last.
        last = device.type == "cpu" or dtype == torch.bfloat16
        self._layout = torch.channels_last if last else torch.contiguous_format
        # MKL adds products in another order on each make of CPU. In float64 all orders round to one
        # float32; and float32 convolutions, also small ones, go to oneDNN (`_convolution`).
        self._sums = torch.float64 if device.type == "cpu" else dtype
        built = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        self._onednn = device.type == "cpu" and dtype == torch.float32 and built
        self.alike_cpus = ("AVX2", "AVX512") if self._onednn else ()
        self._layers = {
            name: self._prepare(name, tensors[f"{name}/weight"], tensors[f"{name}/bias"])
            for name in layer_shapes(design)
        }

    def __call__(self, latents: Floats, labels: Floats) -> Bytes:
        """uint8 [B, H, W] from latents float32 [B, Z] and labels float32 [B, L], row by row.

        An image with a value that is not finite is 0 everywhere.
        """
        return self.start(latents, labels)()

    def start(
        self, latents: Floats, labels: Floats, size: int | None = None
    ) -> Callable[[], Bytes]:
        """A function that waits for the images of a call and gives them; a GPU has begun them.

        They are resized to `size` pixels on a side where that is asked for.
        """
        assert latents.shape[1:] == (self.latent_size,), latents.shape
        assert labels.shape == (len(latents), len(self.labels)), labels.shape
        inputs = torch.from_numpy(np.concatenate((latents, labels), axis=1, dtype=np.float32))
        if self._device.type == "cpu":
            images = self._one_by_one(inputs)
            return lambda: images if size is None else resize_block(images, size)
        with torch.inference_mode(), exact(tf32=self._tf32):
            pixels = self._render(inputs.pin_memory().to(self._device, non_blocking=True))
            if size is not None:
                pixels = resize_on_device(pixels, size)
            copy = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
            copy.copy_(pixels, non_blocking=True)
            copied = torch.Event("cuda")
            copied.record()

        def finish() -> Bytes:
            copied.synchronize()
            return copy.numpy()

        return finish

    def _one_by_one(self, inputs: Tensor) -> Bytes:
        images = np.empty((len(inputs), self.resolution, self.resolution), np.uint8)
        with torch.inference_mode():
            for i, row in enumerate(inputs):
                # A batch is padded with its last row: never make it twice.
                same = i > 0 and torch.equal(row, inputs[i - 1])
                images[i] = images[i - 1] if same else self._render(row[None])[0].numpy()
        return images

    def _prepare(self, name: str, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias in torch's layout, scaled, on the device."""
        weight = weight.float() * wscale(self._design, name, tuple(weight.shape))
        bias = bias.float()
        if name.endswith("Dense"):
            bias = bias.repeat_interleave(16)  # one per feature map, for each of its 4×4 pixels
            weight, bias = weight.to(self._device, self._dtype), bias.to(self._device, self._dtype)
            return weight.to(self._sums), bias.to(self._sums)
        if name.endswith("Conv0_up"):
            kernel = _upscaling_kernel(weight)
        elif name.endswith("Conv0"):
            # Nearest upscaling and a convolution: the fused layer with its kernel rotated by 180°.
            kernel = _upscaling_kernel(weight.flip(0, 1).transpose(2, 3))
        else:
            kernel = weight.permute(3, 2, 0, 1)
        kernel = kernel.to(self._device, self._dtype, memory_format=self._layout)
        return kernel, bias.to(self._device, self._dtype)

    def _render(self, inputs: Tensor) -> Tensor:
        """uint8 [B, H, W] on the device, from [B, Z + L]."""
        finest = len(self._design.maps) - 1
        skipped = min(int(self._design.lod), finest)  # resolutions not grown into yet
        below, x = None, self._first_block(inputs.to(self._dtype))
        for log2 in range(3, 3 + finest - skipped):
            below, x = x, self._block(x, f"{2**log2}x{2**log2}")
        image = self._to_grey(x, skipped)
        if below is not None and (blend := self._design.lod - skipped):
            coarse = _enlarge(self._to_grey(below, skipped + 1), 2)
            image = image + (coarse - image) * blend
        broken = ~image.isfinite().all(dim=3, keepdim=True).all(dim=2, keepdim=True)
        pixels = ((image.float() + 1) / 2 * 255).round_().clamp_(0, 255).to(torch.uint8)
        return _enlarge(pixels.masked_fill_(broken, 0), 2**skipped)[:, 0]

    def _first_block(self, inputs: Tensor) -> Tensor:
        if self._design.normalize_latents:
            inputs = self._pixel_norm(inputs.clone())
        weight, bias = self._layers["4x4/Dense"]
        x = torch.addmm(bias, inputs.to(self._sums), weight).to(self._dtype)
        x = x.view(-1, self._design.maps[0], 4, 4)
        x = self._activate(x.contiguous(memory_format=self._layout))
        return self._convolve(x, "4x4/Conv")

    def _block(self, x: Tensor, block: str) -> Tensor:
        weight, bias = self._layers[
            f"{block}/Conv0_up" if self._design.fused_scale else f"{block}/Conv0"
        ]
        # TensorFlow's SAME: 2 of the 2H + 2 rows are cut, one on each side.
        x = self._activate(F.conv_transpose2d(x, weight, bias, stride=2, padding=1))
        return self._convolve(x, f"{block}/Conv1")

    def _convolve(self, x: Tensor, layer: str) -> Tensor:
        weight, bias = self._layers[layer]
        return self._activate(self._convolution(x, weight, bias, padding=1))

    def _to_grey(self, x: Tensor, lod: int) -> Tensor:
        weight, bias = self._layers[f"ToRGB_lod{lod}"]
        return self._convolution(x, weight, bias, padding=0)

    def _convolution(self, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        """In float32 on a CPU by oneDNN: torch would give the small ones to MKL."""
        if not self._onednn:
            return F.conv2d(x, weight, bias, padding=padding)
        return torch.mkldnn_convolution(x, weight, bias, [padding] * 2, [1, 1], [1, 1], 1)

    def _activate(self, x: Tensor) -> Tensor:
        """Leaky ReLU (or ReLU), then pixel-norm, in place."""
        x = F.leaky_relu_(x, 0.2) if self._design.use_leakyrelu else F.relu_(x)
        return self._pixel_norm(x) if self._design.use_pixelnorm else x

    def _pixel_norm(self, x: Tensor) -> Tensor:
        """Each pixel's channels over their root mean square: x / √(mean x² + ε), in place."""
        # The vector norm needs no copy of x for its squares: half the time of the plain formula.
        square = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32).square_()
        scale = square.div_(x.shape[1]).add_(self._design.pixelnorm_epsilon).rsqrt_()
        return x.mul_(scale.to(x.dtype))


def _upscaling_kernel(weight: Tensor) -> Tensor:
    """[in, out, 4, 4] for a transposed convolution, from [3, 3, out, in]: its four shifts added."""
    padded = F.pad(weight.permute(3, 2, 0, 1), (1, 1, 1, 1))
    rows = padded[:, :, 1:] + padded[:, :, :-1]
    return rows[..., 1:] + rows[..., :-1]


def _enlarge(images: Tensor, factor: int) -> Tensor:
    """Nearest-neighbour upscaling of [B, C, H, W]."""
    return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def load(
    argument: str,
    image_size: int,  # noqa: ARG001 — the network has its own
    *,
    precision: str = "fp32",
) -> PgganGenerator:
    """The generator in the .safetensors file `argument`, on the GPU where there is one.

    CheckError unless the file is complete, of this version, and its tensors are exactly those that
    its header describes. float16 and bfloat16 tensors become float32. `precision` is fp32, tf32
    or bf16: in which the images are computed. tf32 is fp32 on a CPU, and on a GPU without it.
    """
    if precision not in _PRECISIONS:
        raise UsageError(f"The precision is fp32, tf32 or bf16, got {precision!r}.")
    if not argument:
        raise UsageError("The generator pggan needs a .safetensors file: write pggan:PATH.")
    path = Path(argument)
    try:
        design, tensors = _read(path)
    except CheckError as error:
        raise CheckError(f"{path}: {error}") from None
    except OSError as error:
        raise CheckError(f"Cannot read {path}: {error.strerror or error}.") from None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(
            1
        )  # one process per core renders; sums must not depend on their number
    return PgganGenerator(design, tensors, device, precision)


def _read(path: Path) -> tuple[Design, dict[str, Tensor]]:
    if (size := path.stat().st_size) > MAX_BYTES:
        raise CheckError(f"The file has {size} bytes, more than the {MAX_BYTES} of any generator.")
    if not path.is_file():
        raise CheckError("This is not a regular file; a .safetensors file is needed.")
    try:
        found = read_tensors_header(path)
    except CheckError:
        raise CheckError("The file is cut off or not safetensors.") from None
    header = found.metadata.get("header")
    if header is None:
        raise CheckError("The file has no generator header: make it with fit-gan or import-gan.")
    design = parse_header(header)
    check_shapes(design, {name: entry.shape for name, entry in found.tensors.items()})
    for name, entry in found.tensors.items():
        if entry.dtype not in _DTYPES:
            raise CheckError(f"{printable(name)} is {entry.dtype}, expected one of {_DTYPES}.")
    opener: Any = safetensors.safe_open  # its stubs have no types
    try:
        with opener(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in found.tensors}
    except safetensors.SafetensorError as error:
        raise CheckError(
            f"The file is cut off or not safetensors ({printable(str(error))})."
        ) from None
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckError(f"{name} holds values that are not finite numbers.")
    return design, tensors
