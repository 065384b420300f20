"""Samples: the same latents under every label, and a sheet with a row for each."""

import io
from pathlib import Path

import torch
from PIL import Image

from builder.contract import load_index, load_manifest
from builder.fitgan.data import load_reals
from builder.fitgan.samples import COLUMNS, draw_samples, sheet_png
from builder.fitgan.settings import Settings
from builder.fitgan.train import make_networks


def test_samples_depend_on_weights_and_seed_alone(manifest: Path, tiny: Settings) -> None:
    sealed, root = load_manifest(manifest), manifest.parents[1]
    reals = load_reals(sealed, load_index(sealed, root), root, 16)
    networks = make_networks(tiny, reals.pathologies, torch.device("cpu"))
    one, other = (draw_samples(networks.average, reals, tiny, 0.0) for _ in range(2))
    assert one.images.shape == (4, COLUMNS, 16, 16)
    assert torch.equal(one.images, other.images)
    assert one.spread == other.spread > 0
    assert one.label_effect == other.label_effect > 0
    with Image.open(io.BytesIO(sheet_png(one.images, reals.pathologies))) as picture:
        assert picture.size == (112 + COLUMNS * 16, 4 * 16)
        assert picture.mode == "L"
