"""Which label of a generator shows a pathology of the dataset: the one of that name, or another."""

from collections.abc import Sequence

from builder.contract import UsageError, in_short, printable
from builder.labels import canonical, find_pathology

LabelMap = tuple[tuple[str, str], ...]
"""Pairs (pathology of the dataset, label of the generator); a pathology is in one at most."""

_NAMED = 15  # labels in a message


def parse_label_map(texts: Sequence[str], pathologies: Sequence[str]) -> LabelMap:
    """The pairs that --label-map asks for, with the pathologies as the dataset spells them.

    UsageError for a text that is not PATHOLOGY=LABEL, a pathology that the dataset lacks, or one
    that is named twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        name, _, label = (part.strip() for part in text.partition("="))
        if not name or not label:
            raise UsageError(f"--label-map takes PATHOLOGY=LABEL, got {printable(text)!r}.")
        if (pathology := find_pathology(name, pathologies)) is None:
            raise UsageError(
                f"--label-map: the dataset has no pathology {printable(name)!r}, it has "
                f"{', '.join(pathologies)}."
            )
        if pathology in pairs:
            raise UsageError(f"--label-map names {pathology} twice: one label can show it.")
        pairs[pathology] = label
    return tuple(pairs.items())


def resolve_label_map(label_map: LabelMap, labels: Sequence[str], generator: str) -> LabelMap:
    """The pairs with the labels as the generator spells them; UsageError where it lacks one.

    `labels` are the generator's, `generator` is its name.
    """
    pairs = []
    for pathology, label in label_map:
        if (found := find_pathology(label, labels)) is None:
            raise UsageError(
                f"--label-map: the generator {generator} has no label {printable(label)!r}, it "
                f"has {', '.join(labels)}."
            )
        pairs.append((pathology, found))
    return tuple(pairs)


def named_labels(labels: Sequence[str]) -> str:
    """The first few labels, and how many more there are."""
    return in_short(labels, _NAMED)


def label_for(pathology: str, labels: Sequence[str], label_map: LabelMap) -> str | None:
    """The generator's label that shows the pathology; None where there is none."""
    return dict(label_map).get(pathology) or find_pathology(pathology, labels)


def shown_by(label: str, pathologies: Sequence[str], label_map: LabelMap) -> list[int]:
    """The columns of the pathologies that the generator shows as `label`.

    A pathology that is mapped is shown as that label alone, even if the generator knows its name.
    """
    mapped = dict(label_map)
    return [
        column
        for column, name in enumerate(pathologies)
        if (mapped[name] == label if name in mapped else canonical(name) == canonical(label))
    ]


def not_shown(
    pathologies: Sequence[str],
    labels: Sequence[str],
    label_map: LabelMap,
    unseen: Sequence[str] = (),
) -> list[int]:
    """The columns of the pathologies that no label of the generator shows, but for `unseen` ones.

    `unseen` are labels that no image had from which the generator learned.
    """
    shown = [label_for(name, labels, label_map) for name in pathologies]
    return [
        column
        for column, label in enumerate(shown)
        if label is None or find_pathology(label, unseen) is not None
    ]
