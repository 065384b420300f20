"""A plan as tables for people and as JSON for programs; how fast a build was."""

import json
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np

from builder.build import Blueprint, Built

# Table 1 of Sundaram & Hulkund (2021): images rendered per regime, for comparison only.
_PAPER = {
    Fraction(1): {"Lung Lesion": 500, "Pleural Other": 550, "Fracture": 500},
    Fraction(10): {"Lung Lesion": 3500, "Pleural Other": 4000, "Fracture": 3500},
    Fraction(50): {"Lung Lesion": 15000, "Pleural Other": 17000, "Fracture": 15000},
    Fraction(100): {"Lung Lesion": 30000, "Pleural Other": 35000, "Fracture": 30000},
}


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
    if plan.lower_bound == plan.synthetic:
        return "no smaller number of images from these draws would do (proven)."
    return f"at least {plan.lower_bound:,} images are needed (proven bound)."


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


def throughput_text(built: Built) -> str:
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
