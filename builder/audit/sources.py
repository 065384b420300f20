"""Where real images come from: view, sex, age band, and sources that a user names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from builder.audit.pictures import Pictures
from builder.audit.probe import Mask, Names
from builder.audit.wording import kind_of
from builder.contract import GROUPS, Index, UsageError

ENOUGH = 50  # images, at least, of a source
PATIENTS = 10  # that they are of, at least
NAMED = 20  # sources of one table, at most: the largest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contrast:
    """One source and what it is told from."""

    kinds: tuple[str, str]
    positive: Mask  # [N], images of the first kind
    known: Mask  # [N], images of either


def sources_here(sources: Mapping[str, str], index: Index) -> dict[str, str]:
    """The sources of the real images of the index, by key; UsageError where it has none of them."""
    real = {*index.key[index.origin == "real"].tolist()}
    mine = {key: source for key, source in sources.items() if key in real}
    if not mine:
        raise UsageError(
            "The table of --sources names no real image of this dataset: its keys must be those of"
            f" the index (column key), such as {min(real, default='real-0123456789abcdef')}."
        )
    return mine


def sources_of(
    pictures: Pictures, sources: Mapping[str, str] | None
) -> tuple[list[Contrast], tuple[str, ...]]:
    """What can be told from what among real images, and notes on what is left out.

    Of two sources one is told from the other; of more, each from all others.
    """
    kinds = {name: pictures.group(name) for name in GROUPS}
    if sources:
        words = [sources.get(key, "") for key in pictures.keys.tolist()]
        kinds["source"] = np.array(words, dtype=object)
    contrasts: list[Contrast] = []
    notes: list[str] = []
    for name, every in kinds.items():
        found, left = _large(every, pictures.patients)
        if left:
            named = ", ".join(map(kind_of, left))
            notes.append(
                f"Too few images of {name} {named} to tell them from others: it takes {ENOUGH} "
                f"images of {PATIENTS} patients."
            )
        if len(found) > NAMED:
            notes.append(f"Only the {NAMED} largest of {len(found)} sources are told from others.")
        contrasts += _contrasts(name, every, found)
    return contrasts, tuple(notes)


def _contrasts(name: str, words: Names, large: Sequence[str]) -> Iterator[Contrast]:
    known = np.isin(words, large)
    if len(large) == 2:
        yield Contrast(kinds=(large[0], large[1]), positive=words == large[0], known=known)
    elif len(large) > 2:
        for word in large[:NAMED]:
            yield Contrast(kinds=(word, f"other {name}"), positive=words == word, known=known)


def _large(words: Names, patients: Names) -> tuple[list[str], list[str]]:
    """Those with enough images, the most frequent first, and those with too few."""
    found, counts = np.unique(words[words != ""].astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    large: list[str] = []
    small: list[str] = []
    for word, count in zip(found[order].tolist(), counts[order].tolist(), strict=True):
        people = len(np.unique(patients[words == word].astype(str)))
        (large if count >= ENOUGH and people >= PATIENTS else small).append(word)
    return large, small
