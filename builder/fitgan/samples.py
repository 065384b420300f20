"""Images of fixed latents from the moving average: a sheet to look at, and how much they vary."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from builder.fitgan.data import Reals
from builder.fitgan.networks import GeneratorNetwork
from builder.fitgan.settings import Settings
from builder.fitgan.train import stream, to_float

COLUMNS = 8  # of a sheet
_MARGIN = 112  # pixels for the names


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Images of every label alone, and mean standard deviations per pixel relative to real ones."""

    images: Tensor  # float [1 + L, COLUMNS, R, R]: no pathology, then each alone; same latents
    spread: float  # over latents
    label_effect: float  # over labels


@torch.inference_mode()
def draw_samples(
    average: GeneratorNetwork, reals: Reals, settings: Settings, lod: float
) -> Samples:
    """The same latents under every label; a pure function of the weights, the lod and the seed."""
    count = len(reals.pathologies)
    device = next(average.parameters()).device
    latents = torch.randn(
        COLUMNS, settings.latent_size, generator=stream(settings.seed, 0, "sheet")
    ).to(device)
    labels = torch.cat([torch.zeros(1, count), torch.eye(count)]).to(device)
    rows = [average(latents, row.expand(COLUMNS, -1), lod)[:, 0] for row in labels]
    images = torch.stack(rows).cpu()
    chosen = reals.sample(64, stream(settings.seed, 0, "spread"))
    real = to_float(reals.images[chosen]).std(dim=0).mean()
    return Samples(
        images=images,
        spread=float(images.std(dim=1).mean() / real),
        label_effect=float(images.std(dim=0).mean() / real),
    )


def sheet_png(images: Tensor, pathologies: Sequence[str]) -> bytes:
    """A grey PNG of Samples.images, each row with the name of its pathology."""
    side = images.shape[-1]
    picture = Image.new("L", (_MARGIN + images.shape[1] * side, images.shape[0] * side), 255)
    draw = ImageDraw.Draw(picture)
    grey = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    for y, (name, row) in enumerate(zip(["none", *pathologies], grey, strict=True)):
        draw.text((4, y * side + side // 2 - 6), name, fill=0)
        for x, tile in enumerate(row):
            picture.paste(Image.fromarray(tile), (_MARGIN + x * side, y * side))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
