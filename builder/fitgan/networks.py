"""The two networks of Han et al. 2019 in trainable form, after Karras et al. 2018.

Weights have the names, layouts and scale of the published generator, so that the moving average is
saved as it is. They are stored unscaled and multiplied at run time (equalized learning rate).
Convolutions take and give channels last: faster on CPUs and GPUs, in bfloat16 above all.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from builder.fitgan.settings import Conditioning
from builder.generators.pggan_format import Design, layer_shapes, wscale

_SLOPE = 0.2  # of leaky ReLU


class GeneratorNetwork(nn.Module):
    """Latents [B, Z] and labels [B, L] → images float [B, 1, R, R], about [-1, 1]."""

    def __init__(self, design: Design, random: torch.Generator) -> None:
        """Weights from a standard normal distribution, biases zero."""
        super().__init__()
        self.design = design
        self.weights = nn.ParameterDict()
        for layer, (shape, bias) in layer_shapes(design).items():
            self.weights[f"{layer}/weight"] = nn.Parameter(torch.randn(shape, generator=random))
            self.weights[f"{layer}/bias"] = nn.Parameter(torch.zeros(bias))
        # One label among a hundred latents would hardly show: give it half of their joint weight.
        with torch.no_grad():
            self.weights["4x4/Dense/weight"][design.latent_size :] *= design.latent_size**0.5 / 2

    def forward(self, latents: Tensor, labels: Tensor, lod: float = 0.0) -> Tensor:
        """The images; `lod` = k + t omits the k finest resolutions and blends in the next one."""
        finest = len(self.design.maps) - 1
        skipped = min(int(lod), finest)
        below, x = None, self._first_block(torch.cat([latents, labels], dim=1))
        for log2 in range(3, 3 + finest - skipped):
            below, x = x, self._block(x, f"{2**log2}x{2**log2}")
        image = self._to_grey(x, skipped)
        if below is not None and (blend := lod - skipped):
            coarse = enlarge(self._to_grey(below, skipped + 1), 2)
            image = image + (coarse - image) * blend
        return enlarge(image, 2**skipped)

    def _first_block(self, inputs: Tensor) -> Tensor:
        weight, bias = self._layer("4x4/Dense")
        x = pixel_norm(inputs) @ weight + bias.repeat_interleave(16)
        x = channels_last(x.view(-1, self.design.maps[0], 4, 4))
        return self._convolve(_activate(x), "4x4/Conv")

    def _block(self, x: Tensor, block: str) -> Tensor:
        kernel, bias = self._kernel(f"{block}/Conv0_up")
        kernel = channels_last(_four_shifts(kernel))
        x = _activate(F.conv_transpose2d(x, kernel, bias, stride=2, padding=1))
        return self._convolve(x, f"{block}/Conv1")

    def _convolve(self, x: Tensor, layer: str) -> Tensor:
        kernel, bias = self._kernel(layer)
        return _activate(F.conv2d(x, channels_last(kernel), bias, padding=1))

    def _to_grey(self, x: Tensor, lod: int) -> Tensor:
        return F.conv2d(x, *self._kernel(f"ToRGB_lod{lod}"))

    def _kernel(self, layer: str) -> tuple[Tensor, Tensor]:
        weight, bias = self._layer(layer)
        return weight.permute(3, 2, 0, 1), bias

    def _layer(self, layer: str) -> tuple[Tensor, Tensor]:
        weight = self.weights[f"{layer}/weight"]
        return weight * wscale(self.design, layer, tuple(weight.shape)), self.weights[
            f"{layer}/bias"
        ]


class Discriminator(nn.Module):
    """Images float [B, 1, R, R] → realness [B] and what conditioning needs; mirrors the generator.

    `acgan`: one logit per label in addition to the realness (Odena et al. 2017). `projection`: the
    inner product of features and an embedding of the labels is added to the realness (Miyato &
    Koyama 2018).
    """

    def __init__(self, design: Design, conditioning: Conditioning, random: torch.Generator) -> None:
        """Weights from a standard normal distribution, biases zero."""
        super().__init__()
        self.maps = design.maps
        self.conditioning = conditioning
        self.weights = nn.ParameterDict()
        maps, labels = design.maps, len(design.labels)
        for lod, here in enumerate(reversed(maps)):
            self._add(f"FromRGB_lod{lod}", (here, 1, 1, 1), random)
        for level in range(1, len(maps)):
            self._add(f"{level}/Conv0", (maps[level], maps[level], 3, 3), random)
            self._add(f"{level}/Conv1_down", (maps[level - 1], maps[level], 3, 3), random)
        self._add("0/Conv", (maps[0], maps[0] + 1, 3, 3), random)
        self._add("0/Dense0", (maps[0], maps[0] * 16), random)
        self._add("0/Dense1", (1, maps[0]), random)
        self._add("0/Labels", (labels, maps[0]), random)

    def _add(self, layer: str, shape: tuple[int, ...], random: torch.Generator) -> None:
        self.weights[f"{layer}/weight"] = nn.Parameter(torch.randn(shape, generator=random))
        self.weights[f"{layer}/bias"] = nn.Parameter(torch.zeros(shape[0]))

    def forward(self, images: Tensor, labels: Tensor, lod: float = 0.0) -> tuple[Tensor, Tensor]:
        """Realness [B] and label logits [B, L] ([B, 0] without acgan) of images and their labels.

        `lod` as in the generator.
        """
        finest = len(self.maps) - 1
        skipped = min(int(lod), finest)
        small = F.avg_pool2d(images, 2**skipped) if skipped else images
        x, blend = self._from_grey(small, skipped), lod - skipped
        for level in range(finest - skipped, 0, -1):
            x = self._down(self._convolve(x, f"{level}/Conv0"), f"{level}/Conv1_down")
            if blend:  # only the finest resolution in use is faded in
                coarse = self._from_grey(F.avg_pool2d(small, 2), skipped + 1)
                x, blend = x + (coarse - x) * blend, 0.0
        x = self._convolve(channels_last(_with_stddev(x)), "0/Conv")
        weight, bias = self._layer("0/Dense0", math.sqrt(2))
        x = F.leaky_relu(F.linear(x.flatten(1), weight, bias), _SLOPE).float()
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 is too coarse for a score
            return self._score(x, labels)

    def _score(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        realness = F.linear(x, *self._layer("0/Dense1", 1.0))[:, 0]
        weight, bias = self._layer("0/Labels", 1.0)
        if self.conditioning == "projection":
            return realness + ((labels @ weight) * x).sum(dim=1), x[:, :0]
        return realness, F.linear(x, weight, bias)

    def _from_grey(self, images: Tensor, lod: int) -> Tensor:
        weight, bias = self._layer(f"FromRGB_lod{lod}", math.sqrt(2))
        # Of one channel torch cannot tell the order, and would go on with channels first.
        return F.leaky_relu(channels_last(F.conv2d(images, weight, bias)), _SLOPE)

    def _convolve(self, x: Tensor, layer: str) -> Tensor:
        weight, bias = self._layer(layer, math.sqrt(2))
        return F.leaky_relu(F.conv2d(x, channels_last(weight), bias, padding=1), _SLOPE)

    def _down(self, x: Tensor, layer: str) -> Tensor:
        """Convolution and 2×2 mean in one: the four shifts of the kernel, a quarter each."""
        weight, bias = self._layer(layer, math.sqrt(2))
        kernel = channels_last(_four_shifts(weight) / 4)
        return F.leaky_relu(F.conv2d(x, kernel, bias, stride=2, padding=1), _SLOPE)

    def _layer(self, layer: str, gain: float) -> tuple[Tensor, Tensor]:
        weight = self.weights[f"{layer}/weight"]
        scale = gain / math.sqrt(math.prod(weight.shape[1:]))
        return weight * scale, self.weights[f"{layer}/bias"]


def enlarge(images: Tensor, factor: int) -> Tensor:
    """Nearest-neighbour upscaling of [B, C, H, W] to [B, C, factor·H, factor·W]."""
    return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def channels_last(x: Tensor) -> Tensor:
    """[B, C, H, W] with the channels of a pixel next to each other in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def _four_shifts(kernel: Tensor) -> Tensor:
    """[…, 4, 4] from […, 3, 3]: the sum of the kernel at its four one-pixel shifts."""
    padded = F.pad(kernel, (1, 1, 1, 1))
    rows = padded[..., 1:, :] + padded[..., :-1, :]
    return rows[..., 1:] + rows[..., :-1]


def _activate(x: Tensor) -> Tensor:
    return pixel_norm(F.leaky_relu(x, _SLOPE))


class _PixelNorm(torch.autograd.Function):
    """`pixel_norm` with a gradient of its own: half the time of torch's at 128 pixels on a CPU.

    It is no function to differentiate twice; nothing does that to a generator.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        # Squares are added in float32, and no copy of x is made for them.
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32)
        scale = norm.square_().div_(x.shape[1]).add_(1e-8).rsqrt_().to(x.dtype)
        y: Tensor = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,), (y, scale) = gradients, ctx.saved_tensors
        along = (gradient * y).mean(dim=1, keepdim=True)
        across: Tensor = torch.addcmul(gradient, y, along, value=-1).mul_(scale)
        return across


def pixel_norm(x: Tensor) -> Tensor:
    """Each pixel's channels divided by their root mean square: [B, C, …] as x."""
    normed: Tensor = _PixelNorm.apply(x)
    return normed


def _with_stddev(x: Tensor, group: int = 4) -> Tensor:
    """One more channel: the mean standard deviation in groups of images (Karras et al. 2018)."""
    group = math.gcd(group, len(x))
    grouped = x.float().reshape(group, -1, *x.shape[1:])
    deviation = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    channel = deviation.repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel.to(x.dtype)], dim=1)
