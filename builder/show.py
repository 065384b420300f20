"""Plans, progress and pictures for people."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from builder.build import Blueprint, Built
from builder.contract import (
    Bytes,
    Manifest,
    dataset_root,
    decode_image,
    load_index,
    write_last,
)

# Table 1 of Sundaram & Hulkund (2021): images rendered per regime, for comparison only.
_PAPER = {
    Fraction(1): {"Lung Lesion": 500, "Pleural Other": 550, "Fracture": 500},
    Fraction(10): {"Lung Lesion": 3500, "Pleural Other": 4000, "Fracture": 3500},
    Fraction(50): {"Lung Lesion": 15000, "Pleural Other": 17000, "Fracture": 15000},
    Fraction(100): {"Lung Lesion": 30000, "Pleural Other": 35000, "Fracture": 30000},
}


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function to be told the images done; a bar with rate and ETA if stderr is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total, rate="")

        def tick(images: int) -> None:
            bar.advance(task, images)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:,.0f} images/s" if speed else "")

        yield tick


def plan_json(blueprint: Blueprint) -> str:
    """The plan for programs: real, synthetic, targets; then the proven minimum and the recipe."""
    proof = asdict(blueprint.plan.proof())
    first = {name: proof.pop(name) for name in ("real", "synthetic", "targets")}
    return json.dumps({**first, **proof, "recipe": asdict(blueprint.recipe)}, indent=2)


def plan_text(blueprint: Blueprint) -> str:
    """The plan for people: a table per target, what it does to the others, and the proof."""
    plan = blueprint.plan
    recipe, split = blueprint.recipe, blueprint.split
    total = plan.real + plan.synthetic
    lines = [
        f"{recipe.name}: {plan.real:,} real images of regime {recipe.regime} % and "
        f"{plan.synthetic:,} synthetic ones make {total:,}; "
        f"{len(split.val):,} val and {len(split.test):,} test images stay real.",
        "",
        *_target_table(blueprint),
        "",
        *_side_effects(blueprint),
        "",
        f"Share {float(plan.share):g} holds in integers for every target; {_optimality(plan)}",
    ]
    if counts := _paper_counts(blueprint):
        made = f"{sum(counts.values()):,} images (its Table 1)"
        lines.append(f"The paper rendered {made}; its regime rows differ from these.")
    return "\n".join(lines)


def _optimality(plan: Any) -> str:
    if plan.fewest == plan.synthetic:
        return "no smaller number of images from these draws would do (proven)."
    return f"at least {plan.fewest:,} images are needed (proven bound)."


def _target_table(blueprint: Blueprint) -> list[str]:
    plan = blueprint.plan
    paper = _paper_counts(blueprint)
    head = ["target", "have", "share", "render", "after", "share", "reuse mean (most)"]
    rows = [[*head, *(["paper rendered"] if paper else [])]]
    labels = blueprint.table.labels[blueprint.split.train]
    for i, count in enumerate(plan.proof().targets):
        row = [
            count.pathology,
            f"{count.real_positives:,}",
            f"{count.real_positives / plan.real:.2%}",
            f"{count.render:,}",
            f"{count.positives:,}",
            f"{count.share:.2%}",
            _reuse(labels[plan.rows(i)]),
        ]
        rows.append([*row, *([f"{paper.get(count.pathology, 0):,}"] if paper else [])])
    return _aligned(rows)


def _paper_counts(blueprint: Blueprint) -> dict[str, int]:
    """The paper's images per target at this regime; nothing for other labels or regimes."""
    ours = blueprint.table.dataset in ("chexpert", "demo")
    return _PAPER.get(Fraction(blueprint.recipe.regime), {}) if ours else {}


def _reuse(drawn: Any) -> str:
    """How many images share one label vector, on average and at most."""
    if not len(drawn):
        return "–"
    vectors = np.ascontiguousarray(drawn).view(f"S{drawn.shape[1]}")  # sorts faster than rows
    _, uses = np.unique(vectors, return_counts=True)
    return f"{uses.mean():.1f}× ({uses.max():,}×) of {len(uses):,} vectors"


def _side_effects(blueprint: Blueprint) -> list[str]:
    plan = blueprint.plan
    labels = blueprint.table.labels[blueprint.split.train]
    before = (labels == 1).sum(axis=0)
    drawn = np.concatenate([plan.rows(i) for i in range(len(plan.targets))])
    after = before + (labels[drawn] == 1).sum(axis=0)
    rows = [["other pathologies", "have", "share", "after", "share"]]
    for column, name in enumerate(blueprint.table.pathologies):
        if column not in plan.targets:
            rows.append(
                [
                    name,
                    f"{before[column]:,}",
                    f"{before[column] / plan.real:.2%}",
                    f"{after[column]:,}",
                    f"{after[column] / (plan.real + plan.synthetic):.2%}",
                ]
            )
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def pace_text(built: Built) -> str:
    """How fast the images came, what held them up, and how many were rejected."""
    pace, rejected = built.pace, built.manifest.generator["rejected"]
    if not pace.images:
        return "Nothing was left to render."
    total = sum(pace.waited.values()) or 1.0
    shares = [
        f"{100 * seconds / total:.0f} % for {stage}" for stage, seconds in pace.waited.items()
    ]
    lines = [
        f"Rendered {pace.images:,} images at {pace.images / pace.seconds:,.0f}/s; the workers "
        f"waited {', '.join(shares)}."
    ]
    if rejected:
        reasons = ", ".join(f"{count:,} because {reason}" for reason, count in rejected.items())
        lines.append(f"Rejected and drawn again: {reasons}.")
    return "\n".join(lines)


def contact_sheet(manifest: Manifest, manifest_path: Path, out: Path, columns: int = 8) -> None:
    """A PNG at `out`: per target a row of real and a row of synthetic positives from the shards."""
    from matplotlib.figure import Figure
    from PIL import Image

    root = dataset_root(manifest_path)
    index = load_index(manifest, root)
    rows = []
    for target in manifest.plan.targets:
        positive = index.labels[:, manifest.pathologies.index(target.pathology)] == 1
        for origin in ("real", "synthetic"):
            mine = positive & (index.origin == origin) & (index.split == "train")
            if origin == "synthetic":
                mine &= index.target == target.pathology
            if mine.any():
                kind = "real label" if origin == "real" and _is_demo(manifest) else origin
                rows.append((f"{target.pathology}\n{kind}", np.flatnonzero(mine)[:columns]))
    if not rows:
        return
    figure = Figure(figsize=(1.3 * columns + 1.6, 1.35 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (title, samples) in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        line[0].text(-0.1, 0.5, title, transform=line[0].transAxes, ha="right", va="center")
        for axis, row in zip(line, samples.tolist(), strict=False):
            axis.imshow(_image_at(manifest, root, index, row), cmap="gray", vmin=0, vmax=255)
    drawn = ", and the real labels have phantom images" if _is_demo(manifest) else ""
    figure.suptitle(f"{manifest.name}: synthetic images by {manifest.generator['name']}{drawn}")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    with Image.open(image) as picture:  # grey: a third of the bytes
        picture.convert("L").save(image := io.BytesIO(), "PNG", optimize=True)
    write_last(out, image.getvalue())


def _is_demo(manifest: Manifest) -> bool:
    return bool(manifest.source.get("dataset") == "demo")


def _image_at(manifest: Manifest, root: Path, index: Any, row: int) -> Bytes:
    with (root / index.shard[row]).open("rb") as file:
        file.seek(int(index.offset[row]))
        return decode_image(file.read(int(index.size[row])), manifest.image)
