"""Tables and sentences about a plan and a build, for people; a plan as JSON, for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction

import numpy as np

from builder.blueprint import Blueprint
from builder.build import Built
from builder.cli.terminal import echo
from builder.contract import SPLITS, Labels, Manifest, in_short
from builder.generators import Loaded
from builder.plan import Plan
from builder.render import not_shown

_NAMED = 10  # labels in a note

# Table 1 of Sundaram & Hulkund (2021): images rendered per regime, for comparison only.
_PAPER = {
    Fraction(1): {"Lung Lesion": 500, "Pleural Other": 550, "Fracture": 500},
    Fraction(10): {"Lung Lesion": 3500, "Pleural Other": 4000, "Fracture": 3500},
    Fraction(50): {"Lung Lesion": 15000, "Pleural Other": 17000, "Fracture": 15000},
    Fraction(100): {"Lung Lesion": 30000, "Pleural Other": 35000, "Fracture": 30000},
}


def plan_json(blueprint: Blueprint) -> str:
    """The plan for programs: real, synthetic, targets; then the bound, the split, the request."""
    proof = asdict(blueprint.plan.proof())
    first = {name: proof.pop(name) for name in ("real", "synthetic", "targets")}
    split = blueprint.cohort.split
    images = {"train": len(split.train), "val": len(split.val), "test": len(split.test)}
    last = {"split": images, "request": asdict(blueprint.request)}
    return json.dumps({**first, **proof, **last}, indent=2, default=str)


def plan_text(blueprint: Blueprint) -> str:
    """The plan for people: a table of the targets, what it does to the others, and the proof."""
    plan, split = blueprint.plan, blueprint.cohort.split
    total = plan.real + plan.synthetic
    lines = [
        f"{blueprint.name}: {plan.real:,} real images of regime {blueprint.request.regime} % and "
        f"{plan.synthetic:,} synthetic ones make {total:,}; "
        f"{len(split.val):,} val and {len(split.test):,} test images stay real.",
        "",
        *_target_table(blueprint),
        "",
        *_other_table(blueprint),
        f"Every target reaches a share of {float(plan.share):g}, counted in integers; "
        f"{_optimality(plan)}",
    ]
    if plan.vectors == "alone":
        lines.append("Each synthetic image has its target alone: every other label of it is 0.")
    if blueprint.label_map:
        shown = [f"{pathology} as {label}" for pathology, label in blueprint.label_map]
        lines.append(f"The generator shows {', '.join(shown)}.")
    if counts := _paper_counts(blueprint):
        lines.append(
            f"The paper rendered {sum(counts.values()):,} images (its Table 1); the patients of "
            "its regimes are others than these."
        )
    return "\n".join(lines)


def show_unshown(blueprint: Blueprint, loaded: Loaded) -> None:
    """Note which labels of the planned images the generator cannot show, if there are any."""
    plan, generator = blueprint.plan, loaded.generator
    names = blueprint.cohort.table.pathologies
    unseen = getattr(generator, "unseen", ())
    columns = not_shown(names, generator.labels, blueprint.label_map, unseen)
    counts = (_drawn(blueprint)[:, columns] == 1).sum(axis=0).tolist()
    pairs = [(names[i], count) for i, count in zip(columns, counts, strict=True) if count]
    if not pairs:
        return
    pairs.sort(key=lambda pair: -pair[1])
    counted = in_short((f"{name} {count:,}" for name, count in pairs), _NAMED)
    echo(
        f"Note: {loaded.name} cannot show all labels of the {plan.synthetic:,} synthetic images. "
        f"These will be labelled with what they do not show: {counted}. --vectors alone avoids it.",
        err=True,
    )


def packed_text(manifest: Manifest) -> str:
    """How many real images were sealed for what."""
    count = dict.fromkeys(SPLITS, 0)
    for shard in manifest.shardlist:
        count[shard.split] += shard.nsamples
    return (
        f"{manifest.name}: {count['train']:,} training images of regime {manifest.regime} %, "
        f"{count['val']:,} val and {count['test']:,} test images."
    )


def throughput_text(built: Built) -> str:
    """How fast the images were rendered, what the workers waited for, and what was rejected."""
    throughput = built.throughput
    if not throughput.images:
        plan = built.manifest.plan
        if plan is None or plan.synthetic:
            return "Nothing was left to render."
        return "No image was rendered, because every target had its share already."
    total = sum(throughput.waited.values()) or 1.0
    shares = [
        f"{100 * seconds / total:.0f} % for {stage}" for stage, seconds in throughput.waited.items()
    ]
    lines = [
        f"Rendered {throughput.images:,} images at "
        f"{throughput.images / throughput.seconds:,.0f}/s; the workers waited {', '.join(shares)}."
    ]
    if rejected := (built.manifest.generator or {}).get("rejected"):
        reasons = ", ".join(f"{count:,} because {reason}" for reason, count in rejected.items())
        lines.append(f"Rejected and drawn again: {reasons}.")
    return "\n".join(lines)


def _optimality(plan: Plan) -> str:
    if plan.lower_bound == plan.synthetic:
        these = "" if plan.vectors == "alone" else " from these draws"
        return f"no fewer images{these} are enough (proven)."
    return f"at least {plan.lower_bound:,} images are needed (proven bound)."


def _target_table(blueprint: Blueprint) -> list[str]:
    plan, paper = blueprint.plan, _paper_counts(blueprint)
    labels = blueprint.cohort.train_labels
    last = "real ones with it alone" if plan.vectors == "alone" else "reuse mean (max)"
    table = [["target", "have", "share", "render", "after", "share", last]]
    for i, count in enumerate(plan.proof().targets):
        table.append(
            [
                count.pathology,
                f"{count.real_positives:,}",
                f"{count.real_positives / plan.real:.2%}",
                f"{count.render:,}",
                f"{count.positives:,}",
                f"{count.share:.2%}",
                _have_alone(labels[plan.pools[i]])
                if plan.vectors == "alone"
                else _reuse(plan.label_vectors(i, labels)),
            ]
        )
    if paper:
        column = ["paper rendered", *(f"{paper.get(name, 0):,}" for name in plan.names)]
        table = [[*row, cell] for row, cell in zip(table, column, strict=True)]
    return _aligned(table)


def _other_table(blueprint: Blueprint) -> list[str]:
    """What the synthetic images do to the pathologies that are no targets, and a blank line.

    Nothing where all are targets.
    """
    plan, labels = blueprint.plan, blueprint.cohort.train_labels
    before = (labels == 1).sum(axis=0)
    after = before + (_drawn(blueprint) == 1).sum(axis=0)
    table = [["other pathologies", "have", "share", "after", "share"]]
    for column, name in enumerate(blueprint.cohort.table.pathologies):
        if column not in plan.targets:
            have, then = int(before[column]), int(after[column])
            total = plan.real + plan.synthetic
            table.append(
                [name, f"{have:,}", f"{have / plan.real:.2%}", f"{then:,}", f"{then / total:.2%}"]
            )
    return [*_aligned(table), ""] if table[1:] else []


def _drawn(blueprint: Blueprint) -> Labels:
    """[N, L]: the labels of the planned images."""
    plan, labels = blueprint.plan, blueprint.cohort.train_labels
    return np.concatenate([plan.label_vectors(i, labels) for i in range(len(plan.targets))])


def _paper_counts(blueprint: Blueprint) -> dict[str, int]:
    """The paper's images per target at this regime; nothing for other labels or regimes."""
    ours = blueprint.request.dataset in ("chexpert", "demo")
    return _PAPER.get(Fraction(blueprint.request.regime), {}) if ours else {}


def _reuse(drawn: Labels) -> str:
    """How many images share one label vector, on average and at most."""
    if not len(drawn):
        return "–"
    rows = np.ascontiguousarray(drawn).view(f"S{drawn.shape[1]}")  # sorts faster than rows
    _, uses = np.unique(rows, return_counts=True)
    vectors = "vector" if len(uses) == 1 else "vectors"
    return f"{uses.mean():.1f}× ({uses.max():,}×) of {len(uses):,} {vectors}"


def _have_alone(positive: Labels) -> str:
    """How many real images that have the target have no other label."""
    count = int(((positive == 1).sum(axis=1) == 1).sum())
    return f"{count:,} of {len(positive):,}"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
