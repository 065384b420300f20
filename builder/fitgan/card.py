"""What a run tells people: the card of the generator, and the curves of its training."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from builder.contract import Manifest
from builder.fitgan.data import Reals
from builder.fitgan.history import HistoryRow
from builder.fitgan.settings import Settings

_ATTRIBUTIONS = {
    "nih": "NIH ChestX-ray14 (Wang et al., CVPR 2017), NIH Clinical Center; use is unrestricted "
    "with this attribution.",
    "chexpert": "CheXpert (Irvin et al., AAAI 2019). Its research use agreement covers everything "
    "derived from the images, so ask before you share this file.",
    "demo": "Phantoms on CheXpert's labels: no radiograph was used.",
}
_RECIPE_FIELDS = (  # those that say which images were used
    *("dataset", "views", "uncertain", "split", "holdout", "seed", "regime"),
    *("image_size", "codec"),
)


def card(
    manifest: Manifest,
    reals: Reals,
    settings: Settings,
    history: Sequence[HistoryRow],
    name: str,
    software: Mapping[str, str],
) -> str:
    """The Markdown of the generator's file `name`: data, settings, scores, limits, licence."""
    lines = [
        f"# {name}",
        "",
        f"A conditional progressive GAN of {settings.resolution}×{settings.resolution} pixels, "
        f"trained for {history[-1].kimg:.0f} kimg.",
        "",
        "```bash",
        command_line(manifest.name, settings, name),
        "```",
        "",
        *_data(manifest, reals),
        "",
        "## Settings",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in {**asdict(settings), **software}.items()),
        "",
        "## Scores at the end",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value:.4g} |" for key, value in asdict(history[-1]).items()),
        "",
        "`spread` and `label_effect` say how much the images change with the latents and with the "
        "labels: the mean standard deviation per pixel, relative to that between real images.",
        "",
        "## Limits",
        "",
        "The images look like the training images and may repeat them: nothing here protects "
        "privacy. The labels are as noisy as those of the table, and pathologies with few "
        "positives are learnt from few patients. Not for diagnosis.",
        "",
        "## Licence and attribution",
        "",
        _ATTRIBUTIONS.get(manifest.dataset, "The licence of the training images applies."),
    ]
    return "\n".join(lines) + "\n"


def command_line(manifest: str, settings: Settings, name: str) -> str:
    """The command that asks for these settings; those at their defaults are left out."""
    usual = asdict(Settings())
    usual["gamma"] = Settings(resolution=settings.resolution, batch=settings.batch).gamma
    if settings.grow:
        usual["grow_kimg"] = replace(settings, grow_kimg=0.0).grow_kimg
    words = [f"xbuild fit-gan manifests/{manifest}.json"]
    for key, value in asdict(settings).items():
        if key in ("resolution", "kimg") or value != usual[key]:
            option = key.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words.append(f"--{option} {value}")
    return " ".join([*words, f"--out {name}"])


def curves_png(history: Sequence[HistoryRow]) -> bytes:
    """A PNG of losses, realness of real and generated images, spread and label effect by kimg."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), dpi=120, layout="constrained")
    panels = (("d_loss", "g_loss"), ("real", "fake"), ("spread", "label_effect"))
    titles = ("Loss", "Realness by the discriminator", "Deviation relative to reals")
    kimg = [row.kimg for row in history]
    for axes, names, title in zip(figure.subplots(1, 3), panels, titles, strict=True):
        for name in names:
            axes.plot(kimg, [getattr(row, name) for row in history], label=name.replace("_", " "))
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("kimg")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _data(manifest: Manifest, reals: Reals) -> list[str]:
    counts = reals.labels.sum(dim=0).int().tolist()
    return [
        "## Data",
        "",
        f"{len(reals.images):,} real training images of {reals.patients:,} patients of the sealed "
        f"dataset `{manifest.name}` (manifest sha256 `{manifest.digest}`; patients "
        f"`{reals.patients_sha256}`). No image of a validation or test patient was used.",
        "",
        f"Its recipe: {', '.join(_recipe(manifest.recipe))}.",
        "",
        "| pathology | positives |",
        "|---|---:|",
        *(
            f"| {pathology} | {count}{' (never seen)' if not count else ''} |"
            for pathology, count in zip(reals.pathologies, counts, strict=True)
        ),
    ]


def _recipe(recipe: Mapping[str, object]) -> list[str]:
    known = ((key, recipe[key]) for key in _RECIPE_FIELDS if key in recipe)
    return [f"{key} {' '.join(map(str, v)) if isinstance(v, list) else v}" for key, v in known]
