"""Arms, differences in AUC and p-values in plain words."""

import re
from collections.abc import Mapping

from trainer.recipe import ArmName
from trainer.report.results import ArmResult, Comparison

DASH = "–"  # where there is no figure
SAME_BALANCE = "the same balance of real images"
TRAINING: Mapping[ArmName, str] = {  # as a treatment or as a control
    "none": "real images only",
    "flip": "real images only",
    "gan": "adding synthetic images",
    "oversample": SAME_BALANCE,
    "pretrain": "pretraining on synthetic images",
    "classweight": "real images only, with positives weighted in the loss",
    "radiograph": "real images only",
}
MODIFIERS = {
    "flip": "random flips",
    "radiograph": "random turns, shifts, zooms and brightness",
    "own steps": "its own number of steps",
}


def in_words(arm: ArmResult) -> str:
    """How an arm was trained, such as `adding synthetic images with random flips`."""
    unusual = list(arm.unusual)
    if arm.name in ("flip", "radiograph"):
        unusual.insert(0, arm.name)
    said = [MODIFIERS.get(word) or _modifier(word) for word in unusual]
    return TRAINING[arm.name] + (f" with {' and '.join(said)}" if said else "")


def _modifier(word: str) -> str:
    if word.startswith("synthetic weight"):
        return f"{word.removeprefix('synthetic ')} in the loss"
    return f"the mix {word}" if "=" in word else f"the network {word}"


def effect(row: Comparison, level: float) -> str:
    """Such as `raised test AUC by 0.155 (95 % CI 0.118–0.194, Holm p < 0.001)`."""
    value, low, high = row.value or 0.0, row.low, row.high
    if value < 0:
        low, high = (None if end is None else -end for end in (high, low))
    verb = "raised" if value > 0 else "lowered"
    if low is None or high is None:
        return f"{verb} test AUC by {abs(value):.3f}"
    ends = f"{low:.3f}–{high:.3f}" if low >= 0 else f"{low:.3f} to {high:.3f}"
    return f"{verb} test AUC by {abs(value):.3f} ({percent(level)} CI {ends}{_p(row)})"


def difference(row: Comparison, level: float) -> str:
    """Such as `difference +0.020, 95 % CI -0.010 to +0.050, Holm p = 0.210`."""
    found = f"difference {row.value or 0.0:+.3f}"
    if row.low is None or row.high is None:
        return found
    return f"{found}, {percent(level)} CI {row.low:+.3f} to {row.high:+.3f}{_p(row)}"


def percent(level: float) -> str:
    """The share of experiments whose interval holds the truth, such as `95 %`."""
    return f"{100 * (1 - level):g} %"


def small(p: float) -> str:
    """A p-value to three places, such as `0.012` or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def with_minus(text: str) -> str:
    """The text with a minus sign where JSON has a hyphen before a number."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", text)


def _p(row: Comparison) -> str:
    if row.holm is None:
        return ""
    return f", Holm p {'' if row.holm < 0.001 else '= '}{small(row.holm)}"
