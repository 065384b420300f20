"""What may be said of each target, in one plain sentence.

Every arm with synthetic images is judged. It may have helped against the arm that has the real
images alone and was else trained as it was: `none`, or `flip` where it was flipped too. Only
against `oversample`, which has the balance of `gan` without its pixels, may the generator be given
the credit.
"""

import re
from collections.abc import Sequence

from trainer.arms import TREATMENTS
from trainer.evaluate.inference import NO_VERDICT
from trainer.report.single_run import Facts
from trainer.report.studies import OF_AN_ARM, PLAIN

BALANCED = "oversample"
MIRRORED = "gan"  # whose very batches oversample has, without their pixels


def conclusions(dataset: Facts) -> list[Facts]:
    """For each target and arm with synthetic images: the verdict in a word and the sentence."""
    arms = treated(dataset)
    return [_conclusion(dataset, target, arm) for target in dataset["targets"] for arm in arms]


def treated(dataset: Facts) -> list[str]:
    """The arms with synthetic images, by title."""
    return [arm["title"] for arm in dataset["arms"] if arm["name"] in TREATMENTS]


def plain_of(dataset: Facts, title: str) -> str | None:
    """The title of the control with the real images alone, else trained as the arm was."""
    return _alike(dataset, title, PLAIN)


def balanced_of(dataset: Facts, title: str) -> str | None:
    """The title of the control with the arm's balance and without its pixels."""
    name = next(arm["name"] for arm in dataset["arms"] if arm["title"] == title)
    return _alike(dataset, title, (BALANCED,)) if name == MIRRORED else None


def _alike(dataset: Facts, title: str, names: Sequence[str]) -> str | None:
    """The first arm of these names that has the modifiers of the arm called `title`."""
    own = next(arm["modifiers"] for arm in dataset["arms"] if arm["title"] == title)
    alike = [arm for arm in dataset["arms"] if arm["modifiers"] == own]
    return next((arm["title"] for name in names for arm in alike if arm["name"] == name), None)


def _conclusion(dataset: Facts, target: str, arm: str) -> Facts:
    rows = {
        row["control"]: row
        for row in dataset["comparisons"]
        if row["pathology"] == target and row["arm"] == arm and "verdict" in row
    }
    found: Facts = {"pathology": target, "arm": arm, "over_balancing": None}
    if not rows:
        return found | {
            "verdict": "no control",
            "sentence": f"{target}: no verdict on {arm}, for no control was trained beside it.",
        }
    first = next(iter(rows.values()))
    if first["missing"]:
        return found | {
            "verdict": NO_VERDICT,
            "sentence": f"{target}: no verdict on {arm}, for {first['missing']} in test.",
        }
    plain = rows.get(plain_of(dataset, arm) or "")
    balanced = rows.get(balanced_of(dataset, arm) or "")
    first = plain or balanced or first
    if first["verdict"] == NO_VERDICT:
        return found | {
            "verdict": NO_VERDICT,
            "sentence": f"{target}: no verdict on {arm}, for too few patients have it, or are"
            " without it, in test, or nothing moves the difference"
            f" ({_numbers(first)} against {first['control']}).",
        }
    others = [row for row in rows.values() if row not in (first, balanced)]
    sentence = f"{target}: {_opening(arm, first)} ({_numbers(first)})"
    return found | {
        "verdict": first["verdict"],
        "over_balancing": balanced and balanced["verdict"],
        "sentence": f"{sentence}{_credit(arm, first, plain, balanced)}.{_others(others)}",
    }


def _opening(arm: str, row: Facts) -> str:
    against = f"against {row['control']}"
    return {
        "helped": f"{arm} helped {against}",
        "hurt": f"{arm} hurt {against}",
        "better": f"{arm} was better than {row['control']}",
        "worse": f"{arm} was worse than {row['control']}",
        "one seed": f"with one seed, {arm} was {_word(row)} than {row['control']}, which another"
        " seed may not repeat",
    }.get(row["verdict"], f"no evidence that {arm} helped or hurt {against}")


def _word(row: Facts) -> str:
    return "better" if row["value"] > 0 else "worse"


def _numbers(row: Facts) -> str:
    """AUC difference, interval and adjusted p."""
    value = f"{row['value']:+.3f}"
    if row["low"] is None:
        return value
    p = "" if row.get("holm") is None else f", p {small(row['holm'])}"
    return f"{value}, {row['low']:+.3f} to {row['high']:+.3f}{p}"


def with_minus(text: str) -> str:
    """Words whose numbers have a minus sign where JSON has a hyphen."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", text)


def small(p: float) -> str:
    """A p-value to three places, such as `0.012` or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _credit(arm: str, first: Facts, plain: Facts | None, balanced: Facts | None) -> str:
    """Whether balancing alone explains what the first comparison says."""
    if balanced is None:
        if first["verdict"] not in ("helped", "hurt", "better", "worse"):
            return ""
        name, *modifiers = arm.split(", ")
        missing = ", ".join([BALANCED, *modifiers])
        return (
            f"; without the arm {missing} nobody can say if the balance alone does it"
            if name == MIRRORED
            else "; no control has its schedule, so nobody can say if the balance alone does it"
        )
    same = f"the same balance of real images, {balanced['control']}"
    if plain is None:
        return f", which is {same.partition(',')[0]}"
    numbers = _numbers(balanced)
    said = {
        "better": f"it was better than {same} ({numbers})",
        "worse": f"it was worse than {same} ({numbers})",
        "one seed": f"with one seed, it was {_word(balanced)} than {same} ({numbers})",
    }.get(balanced["verdict"])
    if first["verdict"] != "helped":
        either = ", either" if first["verdict"] == "no evidence" else ""
        return f"; {said or f'no evidence of a difference from {same}{either} ({numbers})'}"
    if balanced["verdict"] == "better":
        return f", and by more than {same} ({numbers})"
    if said:
        return f", but {said}"
    return (
        ", but there is no evidence that the generator did it and not the balancing: against"
        f" {balanced['control']} {numbers}"
    )


def _briefly(row: Facts) -> str:
    control = f"{row['control']} ({_numbers(row)})"
    said = {
        "helped": "better than",
        "hurt": "worse than",
        "better": "better than",
        "worse": "worse than",
        "one seed": f"with one seed {_word(row)} than",
    }.get(row["verdict"], "no evidence of a difference from")
    return f"{said} {control}"


def _others(rows: Sequence[Facts]) -> str:
    return f" Besides: {'; '.join(map(_briefly, rows))}." if rows else ""


def notes(datasets: Sequence[Facts], min_positives: int, few: int) -> list[str]:
    """What a reader must know before the numbers."""
    found = []
    for dataset in datasets:
        name = dataset["name"]
        if dataset["source"].get("dataset") == "demo":
            found.append(f"{name}: all images are procedural phantoms, not radiographs.")
        elif dataset["generator"].get("name") == "phantom":
            found.append(f"{name}: the synthetic images are phantoms, not radiographs.")
        found += _counts(dataset, min_positives, few)
        seeds = {len(arm["runs"]) for arm in dataset["arms"]}
        if 1 in seeds:
            found.append(
                f"{name}: an arm with one seed says nothing of other seeds; its interval is of"
                " patients alone."
            )
        if two := [arm["title"] for arm in dataset["arms"] if len(arm["runs"]) == 2]:
            found.append(
                f"{name}: two seeds ({'; '.join(two)}) do not tell how much seeds differ, so where"
                " an arm has two, the logits of all arms' seeds are taken to differ alike; where"
                " they do not, an interval may be far too narrow."
            )
        for arm in treated(dataset):
            controls = [row for row in dataset["comparisons"] if row["arm"] == arm]
            if controls and not plain_of(dataset, arm):
                found.append(
                    f"{name}: no arm with the real images alone was trained as {arm} was, so"
                    " nothing can be said to have helped."
                )
        for lender in dict.fromkeys(arm["lent_by"] for arm in dataset["arms"] if arm["lent_by"]):
            lent = ", ".join(a["title"] for a in dataset["arms"] if a["lent_by"] == lender)
            found.append(
                f"{name}: {lent} trained on {lender}, which differs in its synthetic pixels alone."
            )
        if dataset["common"]:
            found.append(f"{name}: every arm was trained with {', '.join(dataset['common'])}.")
        found += _recipes(dataset)
        runs = [run for arm in dataset["arms"] for run in arm["runs"]]
        if unread := max(run["unread"] for run in runs):
            found.append(f"{name}: up to {unread:,} val and test images of a run were not read.")
        if any(run["val_auc_mean"] is None for run in runs):
            found.append(f"{name}: without an AUC on val, the lowest loss there chose the epoch.")
        if len({arm["steps"] for arm in dataset["arms"]}) > 1:
            steps = ", ".join(f"{arm['title']} {arm['steps']:,}" for arm in dataset["arms"])
            found.append(f"{name}: the arms took different numbers of steps ({steps}).")
    return found


def _recipes(dataset: Facts) -> list[str]:
    """What the arms differ in beside what their names say: their difference may be of that."""
    found = []
    for name in dataset["arms"][0]["recipe"] if dataset["arms"] else ():
        values = {arm["title"]: arm["recipe"].get(name) for arm in dataset["arms"]}
        if name not in OF_AN_ARM and len({*map(str, values.values())}) > 1:
            said = ", ".join(f"{title} {value}" for title, value in values.items())
            found.append(
                f"{dataset['name']}: the arms were trained with different {name} ({said})."
            )
    return found


def _counts(dataset: Facts, min_positives: int, few: int) -> list[str]:
    positives = {name: count["positives"] for name, count in dataset["positives"].items()}
    none = [f"{n} ({c})" for n, c in positives.items() if c < min_positives]
    weak = [f"{n} ({c})" for n, c in positives.items() if min_positives <= c < few]
    found = []
    if none:
        found.append(
            f"{dataset['name']}: no figure below {min_positives} positives in test:"
            f" {', '.join(none)}."
        )
    if weak:
        found.append(
            f"{dataset['name']}: fewer than {few} positives in test, read with care:"
            f" {', '.join(weak)}."
        )
    return found
