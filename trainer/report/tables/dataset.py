"""The tables of a single dataset: differences of its arms, their figures, subgroups."""

from collections.abc import Sequence

from trainer.report.conclusions import balanced_of, plain_of, treated
from trainer.report.single_run import Facts
from trainer.report.tables.cells import (
    DASH,
    WEAK,
    Row,
    Table,
    count,
    estimate,
    interval,
    key,
    level,
    number,
    p_value,
    pair,
    share,
    starts,
)
from trainer.report.tables.notes import no_interval, reasons, seeds

EFFECTS = ("helped", "hurt", "better", "worse")


def differences(dataset: Facts, settings: Facts) -> Table:
    """Arm less control for each target, with the verdict."""
    found = [row for row in dataset["comparisons"] if row["target"]]
    alone = {arm["title"] for arm in dataset["arms"] if len(arm["runs"]) == 1}
    rows = tuple(
        (
            row["arm"],
            row["control"],
            row["pathology"],
            number(row.get("value"), "+"),
            interval(row, "+"),
            p_value(row.get("p")),
            p_value(row.get("holm")),
            DASH if {row["arm"], row["control"]} & alone else share(row.get("seed_share"), 0),
            row["verdict"],
        )
        for row in found
    )
    return Table(
        key=key("differences", dataset),
        title=f"{dataset['name']}: differences of AUC from the controls",
        columns=(
            *("arm", "control", "target", "difference", f"{level(settings)} interval"),
            *("p", "p (Holm)", "seeds' part", "verdict"),
        ),
        align="lllrrrrrl",
        rows=rows,
        note=" ".join(
            [
                "AUC of the arm less the control's, on the same resamples of the same test"
                f" patients. p is adjusted over the targets of each pair of arms (Holm). Helped or"
                " hurt, better or worse: the interval is without 0 and the adjusted p at most"
                f" {settings['level']}."
                " The seeds' part is what share of the variance they add to the patients'. One seed"
                " does not tell it: such a difference is one of two trainings, not of the arms.",
                *reasons(dataset, dataset["targets"]),
                *no_interval(found),
            ]
        ),
        dataset=dataset["name"],
        starts=starts(rows, 2),
        strong=frozenset(i for i, row in enumerate(found) if row["verdict"] in EFFECTS),
    )


def others(dataset: Facts, settings: Facts) -> Table:
    """What each arm with synthetic images cost or gave the pathologies that are no targets."""
    pairs = _judged(dataset)
    by_name: dict[str, dict[tuple[str, str], Facts]] = {}
    for row in dataset["comparisons"]:
        if not row["target"] and (row["arm"], row["control"]) in pairs:
            by_name.setdefault(row["pathology"], {})[row["arm"], row["control"]] = row
    return Table(
        key=key("others", dataset),
        title=f"{dataset['name']}: did it cost the other pathologies?",
        columns=("pathology", "positives", *(pair(*both) for both in pairs)),
        align="lr" + "r" * len(pairs),
        rows=tuple(
            (
                name,
                str(dataset["positives"][name]["positives"]),
                *(estimate(row[both], "+") for both in pairs),
            )
            for name, row in by_name.items()
        ),
        note=" ".join(
            [
                f"Differences of AUC with {level(settings)} intervals. No verdict is given, for"
                " they were not asked for beforehand and are not adjusted.",
                *(_cost(pair(*both), [row[both] for row in by_name.values()]) for both in pairs),
                *reasons(dataset, by_name),
                *no_interval(row for rows in by_name.values() for row in rows.values()),
            ]
        ),
        dataset=dataset["name"],
    )


def _cost(about: str, rows: Sequence[Facts]) -> str:
    """For how many pathologies, and which, an interval is all below or all above 0."""
    known = [row for row in rows if row.get("low") is not None]
    below = [row["pathology"] for row in known if row["high"] < 0]
    above = [row["pathology"] for row in known if row["low"] > 0]
    parts = [
        f"{side} 0 for {len(names)} of {len(known)}" + (f" ({', '.join(names)})" if names else "")
        for side, names in (("below", below), ("above", above))
    ]
    return f"{about}: the interval lies {' and '.join(parts)}."


def figures(dataset: Facts, settings: Facts) -> Table:
    """Every pathology's AUC, average precision, calibration and sensitivity, targets first."""
    rows = list[Row]()
    names = sorted(dataset["positives"], key=lambda name: name not in dataset["targets"])
    for name in names:
        known = dataset["positives"][name]
        for arm in dataset["arms"]:
            found = arm["pathologies"][name]
            rows.append(
                (
                    name,
                    arm["title"],
                    f"{known['positives']} of {known['positives'] + known['negatives']}",
                    estimate(found.get("auc")),
                    ", ".join(number(auc) for auc in found.get("auc_of_seeds", ())) or DASH,
                    number(found.get("average_precision")),
                    number(found.get("calibration_error")),
                    number(found.get("sensitivity")),
                )
            )
    return Table(
        key=key("figures", dataset),
        title=f"{dataset['name']}: figures of every arm",
        columns=("pathology", "arm", "positives", "AUC", "AUC of each seed", "AP", "ECE", "sens."),
        align="llrrrrrr",
        rows=tuple(rows),
        note=" ".join(
            [
                f"AUC with its {level(settings)} interval; the others are means over the seeds."
                " AP: average precision, by chance the share of positives. ECE: expected"
                f" calibration error over {settings['bins']} bins. Sens.: sensitivity at a"
                f" specificity of {settings['specificity']}. Images of unknown label are left out.",
                seeds(dataset),
                *reasons(dataset, dataset["positives"]),
            ]
        ),
        dataset=dataset["name"],
        starts=starts(rows),
    )


def subgroups(dataset: Facts, settings: Facts) -> Table:
    """Targets in each group of the test images: AUC of each arm and differences."""
    pairs, titles = _judged(dataset), [arm["title"] for arm in dataset["arms"]]
    few = range(settings["min_positives"], settings["few"])
    rows, why = list[Row](), set[str]()
    for row in dataset["subgroups"]:
        aucs = row.get("auc", {})
        gaps = {(gap["arm"], gap["control"]): gap for gap in row.get("differences", ())}
        rows.append(
            (
                row["group"],
                row["value"],
                row["pathology"],
                count(row["images"]),
                f"{row['positives']}{WEAK if row['positives'] in few else ''}",
                *(number(aucs[title]["value"]) if title in aucs else DASH for title in titles),
                *(estimate(gaps.get(both), "+") for both in pairs),
            )
        )
        if row["missing"] and row["positives"] >= settings["min_positives"]:
            why.add(f"{row['value']}, {row['pathology']}: {row['missing']}.")
    weak = any(row["positives"] in few for row in dataset["subgroups"])
    return Table(
        key=key("subgroups", dataset),
        title=f"{dataset['name']}: targets in subgroups of the test images",
        columns=(
            *("group", "value", "target", "images", "positives"),
            *titles,
            *(pair(*both) for both in pairs),
        ),
        align="lllrr" + "r" * (len(titles) + len(pairs)),
        rows=tuple(rows),
        note=" ".join(
            [
                f"Exploratory: AUC of each arm, and differences with {level(settings)} intervals"
                " that are not adjusted, without p or verdict. Positives and images are counted"
                f" in test; below {settings['min_positives']} positives there is no figure.",
                *([f"{WEAK} Fewer than {few.stop} positives: read with care."] if weak else []),
                *sorted(why),
            ]
        ),
        dataset=dataset["name"],
        starts=starts(rows, 2),
    )


def _judged(dataset: Facts) -> list[tuple[str, str]]:
    """The arms with synthetic images, each with the controls that conclusions are drawn from."""
    return [
        (arm, control)
        for arm in treated(dataset)
        for control in (plain_of(dataset, arm), balanced_of(dataset, arm))
        if control
    ]
