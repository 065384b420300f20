"""What may be said of each target, in one plain sentence.

Every arm with synthetic images is judged. Against `none` it may have helped; only against
`oversample`, which has its balance without its pixels, may the generator be given the credit.
"""

from collections.abc import Sequence

from trainer.arms import TREATMENTS
from trainer.report.run import Facts

PLAIN, BALANCED = "none", "oversample"


def conclusions(dataset: Facts) -> list[Facts]:
    """For each target and arm with synthetic images: the verdict in a word and the sentence."""
    arms = treated(dataset)
    return [_conclusion(dataset, target, arm) for target in dataset["targets"] for arm in arms]


def treated(dataset: Facts) -> list[str]:
    """The arms with synthetic images, by title."""
    return [arm["title"] for arm in dataset["arms"] if arm["name"] in TREATMENTS]


def _conclusion(dataset: Facts, target: str, arm: str) -> Facts:
    rows = [
        row
        for row in dataset["comparisons"]
        if row["pathology"] == target and row["arm"] == arm and "verdict" in row
    ]
    found: Facts = {"pathology": target, "arm": arm}
    if not rows:
        return found | {
            "verdict": "no control",
            "sentence": f"{target}: no verdict on {arm}, for no control was trained beside it.",
        }
    if rows[0]["missing"]:
        return found | {
            "verdict": "no verdict",
            "sentence": f"{target}: no verdict on {arm}, for {rows[0]['missing']} in test.",
        }
    by_control = {row["control"]: row for row in rows}
    plain, balanced = by_control.get(PLAIN), by_control.get(BALANCED)
    first = plain or rows[0]
    sentence = f"{target}: {_opening(arm, first)} ({_numbers(first)})"
    sentence += _credit(plain, balanced)
    others = [row for row in rows if row not in (first, balanced)]
    return found | {
        "verdict": first["verdict"],
        "over_balancing": balanced and balanced["verdict"],
        "sentence": sentence + "." + _others(others),
    }


def _opening(arm: str, row: Facts) -> str:
    against = f"against {row['control']}"
    return {
        "helped": f"{arm} helped {against}",
        "hurt": f"{arm} hurt {against}",
        "one seed": f"one training of {arm} was {_word(row)} than one of {row['control']}, which"
        " another seed may not repeat",
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


def small(p: float) -> str:
    """A p-value to three places, such as `0.012` or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _credit(plain: Facts | None, balanced: Facts | None) -> str:
    """Whether balancing alone explains it."""
    if plain is None or balanced is None:
        return (
            "; whether the generator or the balancing did it cannot be said without the arms"
            f" {PLAIN} and {BALANCED}"
        )
    numbers, word = _numbers(balanced), balanced["verdict"]
    if plain["verdict"] == "helped":
        return {
            "helped": f", and by more than the same balance of real images, {BALANCED} ({numbers})",
            "hurt": f", but less than the same balance of real images, {BALANCED} ({numbers})",
            "one seed": f"; it was {_word(balanced)} than one training of {BALANCED} ({numbers})",
        }.get(
            word,
            f", but there is no evidence that the generator did it and not the balancing:"
            f" against {BALANCED} {numbers}",
        )
    return {
        "helped": f"; it was better than the same balance of real images, {BALANCED} ({numbers})",
        "hurt": f"; it was worse than the same balance of real images, {BALANCED} ({numbers})",
        "one seed": f"; it was {_word(balanced)} than one training of {BALANCED} ({numbers})",
    }.get(word, f"; no evidence of a difference from {BALANCED} either ({numbers})")


def _briefly(row: Facts) -> str:
    return f"{_word(row)} in one training" if row["verdict"] == "one seed" else str(row["verdict"])


def _others(rows: Sequence[Facts]) -> str:
    said = [f"{row['control']} {_briefly(row)} ({_numbers(row)})" for row in rows]
    return f" Against the other controls: {'; '.join(said)}." if said else ""


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
        if lent := [arm for arm in dataset["arms"] if arm["lent_by"]]:
            found.append(
                f"{name}: {', '.join(arm['title'] for arm in lent)} trained on"
                f" {lent[0]['lent_by']}, which differs in its synthetic pixels alone."
            )
        if len({arm["steps"] for arm in dataset["arms"]}) > 1:
            steps = ", ".join(f"{arm['title']} {arm['steps']:,}" for arm in dataset["arms"])
            found.append(f"{name}: the arms took different numbers of steps ({steps}).")
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
