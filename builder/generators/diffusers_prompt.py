"""Label vectors → prompts like the impression of a radiology report, as RoentGen was trained on."""

from collections.abc import Collection, Iterable, Sequence

from builder.labels import CHEXPERT, NIH, NO_FINDING, canonical, find_pathology

LABELS = (*CHEXPERT, *(name for name in NIH if find_pathology(name, CHEXPERT) is None))
TEMPLATE = "{findings}."
ABSENT = "no acute cardiopulmonary process"  # as in RoentGen-v2's demo prompts
_PHRASES = {"pleural other": "pleural thickening"}  # first of the CheXpert labeler's words for it


def prompt(
    present: Iterable[float],
    labels: Sequence[str],
    *,
    template: str = TEMPLATE,
    absent: str = ABSENT,
    negate: Collection[str | None] = (),
) -> str:
    """The prompt of a label vector: its findings in the order of `labels`, separated by commas.

    `present` is [L], 1 = present. `absent` is said where there is no finding; support devices are
    not a finding, as in CheXpert's No Finding. Labels in `negate` are denied where not present.
    """
    shown, denied = [], []
    for value, name in zip(present, labels, strict=True):
        phrase = _PHRASES.get(canonical(name), canonical(name))
        if value and phrase != NO_FINDING:
            shown.append(phrase)
        elif name in negate:
            denied.append(phrase)
    if not {*shown} - {"support devices"}:
        shown.insert(0, absent)
    words = [*shown, *(f"no {phrase}" for phrase in denied if phrase not in shown)]
    return template.replace("{findings}", ", ".join(dict.fromkeys(words)))
