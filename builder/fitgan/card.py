"""What a run leaves for people: a card, sheets of samples, curves."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from builder.contract import Manifest
from builder.fitgan.data import Reals
from builder.fitgan.settings import Settings

_ATTRIBUTION = {
    "nih": "NIH ChestX-ray14 (Wang et al., CVPR 2017), NIH Clinical Center; use is unrestricted "
    "with this attribution.",
    "chexpert": "CheXpert (Irvin et al., AAAI 2019); its research use agreement covers what is "
    "derived from the images, so ask before you share this file.",
    "demo": "Phantoms on CheXpert's labels: no radiograph was seen.",
}


_TOLD = ("dataset", "views", "uncertain", "holdout", "seed", "regime", "image_size", "codec")


def command(manifest: str, settings: Settings, name: str) -> str:
    """The command line that asks for these settings; those at their defaults are left out."""
    usual = asdict(Settings())
    usual["gamma"] = Settings(resolution=settings.resolution, batch=settings.batch).gamma
    words = [f"xbuild fit-gan manifests/{manifest}.json"]
    for key, value in asdict(settings).items():
        if key in ("resolution", "kimg") or value != usual[key]:
            option = key.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words.append(f"--{option} {value}")
    return " ".join([*words, f"--out {name}"])


def _told(recipe: Mapping[str, Any]) -> list[str]:
    known = ((key, recipe[key]) for key in _TOLD if key in recipe)
    return [f"{key} {' '.join(map(str, v)) if isinstance(v, list) else v}" for key, v in known]


def card(
    manifest: Manifest,
    reals: Reals,
    settings: Settings,
    history: Sequence[dict[str, float]],
    name: str,
) -> str:
    """Markdown: data, settings, scores, limits, licence."""
    counts = reals.labels.sum(dim=0).int().tolist()
    dataset = str(manifest.source.get("dataset"))
    last = history[-1]
    lines = [
        f"# {name}",
        "",
        f"A conditional progressive GAN of {settings.resolution}×{settings.resolution} pixels, "
        f"trained for {last['kimg']:.0f} kimg.",
        "",
        "```bash",
        command(manifest.name, settings, name),
        "```",
        "",
        "## Data",
        "",
        f"{len(reals.images):,} real training images of {reals.patients:,} patients of the sealed "
        f"dataset `{manifest.name}` (manifest sha256 `{manifest.digest}`; patients "
        f"`{reals.patients_sha256}`). No validation or test patient was seen.",
        "",
        f"Its recipe: {', '.join(_told(manifest.recipe))}.",
        "",
        "| pathology | positives |",
        "|---|---:|",
        *(
            f"| {p} | {n}{' (never seen)' if not n else ''} |"
            for p, n in zip(reals.pathologies, counts, strict=True)
        ),
        "",
        "## Settings",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in asdict(settings).items()),
        "",
        "## Scores at the end",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value:.4g} |" for key, value in last.items()),
        "",
        "`spread` and `label_effect` are the mean standard deviations per pixel over latents and "
        "over labels, relative to those between real images.",
        "",
        "## Limits",
        "",
        "The images look like the training images and may repeat them: nothing here makes them "
        "private. Labels are as noisy as the table's, and pathologies with few positives are "
        "learnt from few patients. Not for diagnosis.",
        "",
        "## Licence and attribution",
        "",
        _ATTRIBUTION.get(dataset, "As the licence of the training images says."),
    ]
    return "\n".join(lines) + "\n"


def sheet(images: Tensor, names: Sequence[str]) -> bytes:
    """A grey PNG of float [rows, columns, R, R] images, each row with its name."""
    side, margin = images.shape[-1], 112
    picture = Image.new("L", (margin + images.shape[1] * side, images.shape[0] * side), 255)
    draw = ImageDraw.Draw(picture)
    grey = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    for y, (name, row) in enumerate(zip(["none", *names], grey, strict=True)):
        draw.text((4, y * side + side // 2 - 6), name, fill=0)
        for x, tile in enumerate(row):
            picture.paste(Image.fromarray(tile), (margin + x * side, y * side))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def curves(history: Sequence[dict[str, float]]) -> bytes:
    """A PNG: losses, realness of reals and fakes, spread and label effect over kimg."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), dpi=120, layout="constrained")
    panels = (("d_loss", "g_loss"), ("real", "fake"), ("spread", "label_effect"))
    titles = ("Loss", "Realness by the discriminator", "Deviation relative to reals")
    kimg = [row["kimg"] for row in history]
    for axes, names, title in zip(figure.subplots(1, 3), panels, titles, strict=True):
        for name in names:
            axes.plot(kimg, [row[name] for row in history], label=name.replace("_", " "))
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("kimg")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
