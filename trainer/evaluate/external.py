"""Another sealed dataset as a test of a run → ExternalTest, once it has proved possible.

Its test images come from another hospital, say, or have experts' labels. Pathologies are matched by
name; capitals, blanks and underscores do not matter. What the contract can tell of leaks is
refused: patients, keys or sketches of images that the run was trained or chosen on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from builder.contract import KEY, Index, UsageError, printable
from builder.contract.record import Sha256
from trainer.stream.batches import Dataset
from trainer.stream.locate import Located

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalTest:
    """A dataset whose test images a run is scored on."""

    shards: str  # its manifest, a file or URL
    name: Annotated[str, Meta(pattern=rf"^({KEY.pattern})\Z")]
    digest: Sha256
    labels: Pairs  # a pathology of the run, and what that dataset calls it
    left_out: tuple[str, ...]  # pathologies of the run that it does not label


def read_pairs(words: Sequence[str]) -> Pairs:
    """The pairs in words such as `Effusion=Pleural Effusion`; or UsageError."""
    found = []
    for word in words:
        ours, _, theirs = (part.strip() for part in word.partition("="))
        if not ours or not theirs:
            raise UsageError(
                f"--test-label takes OURS=THEIRS, such as 'Effusion=Pleural Effusion', got"
                f" {word!r}."
            )
        found.append((ours, theirs))
    return tuple(found)


def external_tests(
    tests: Sequence[tuple[str, Located]], here: Located, asked: Pairs
) -> tuple[ExternalTest, ...]:
    """Each of the datasets, by its manifest, as a test of runs on the dataset `here`.

    UsageError where one has no test images or images of another size, where no label or a label of
    `asked` is found, or where its test shows what the runs are trained on.
    """
    for ours, theirs in asked:
        _check_known(ours, here.manifest.pathologies, f"{here.manifest.name} has no label")
        everywhere = [name for _, there in tests for name in there.manifest.pathologies]
        _check_known(theirs, everywhere, "No --test dataset has a label")
    found = tuple(_external(shards, there, here, asked) for shards, there in tests)
    for test in found:
        if [other.digest for other in found].count(test.digest) > 1:
            raise UsageError(f"--test {test.shards} is named twice, or twice the same dataset.")
    return found


def as_seen_by(data: Dataset, test: ExternalTest, pathologies: Sequence[str]) -> Dataset:
    """The test's dataset with a run's labels, int8 [N, L] in its order; unknown if left out."""
    names, theirs = dict(test.labels), data.manifest.pathologies
    labels = np.full((len(data.index), len(pathologies)), -1, np.int8)
    for i, name in enumerate(pathologies):
        if name in names:
            labels[:, i] = data.index.labels[:, theirs.index(names[name])]
    return replace(
        data,
        manifest=replace(data.manifest, pathologies=tuple(pathologies)),
        index=replace(data.index, labels=labels),
    )


def _external(shards: str, there: Located, here: Located, asked: Pairs) -> ExternalTest:
    if not (there.index.split == "test").any():
        raise UsageError(
            f"--test {shards} has no test images: seal it with a larger second --holdout, such as"
            " --holdout 0 0.95."
        )
    own, image = here.manifest.image, there.manifest.image
    if (image.height, image.width) != (own.height, own.width):
        raise UsageError(
            f"--test {shards} has images of {image.height}×{image.width} pixels, and"
            f" {here.manifest.name} has {own.height}×{own.width}: seal it with the same"
            " --image-size."
        )
    labels = tuple(_matched(shards, here.manifest.pathologies, there.manifest.pathologies, asked))
    known = dict(labels)
    if leak := next(_leaks(there.index, here.index), None):
        raise UsageError(
            f"--test {shards} is no test of {here.manifest.name}: {leak}, so take those out, or"
            " test on another dataset."
        )
    return ExternalTest(
        shards=shards,
        name=there.manifest.name,
        digest=there.manifest.digest,
        labels=labels,
        left_out=tuple(name for name in here.manifest.pathologies if name not in known),
    )


def _matched(
    shards: str, ours: Sequence[str], theirs: Sequence[str], asked: Pairs
) -> Iterator[tuple[str, str]]:
    """Our pathologies that they have, each with their name for it."""
    found: dict[str, str] = {}
    for name in ours:
        named = [t for o, t in asked if _plain(o) == _plain(name)]
        words = {_plain(word) for word in named} & {_plain(word) for word in theirs}
        words = words or ({_plain(name)} if not _is_theirs_of_another(name, asked) else set())
        same = [word for word in theirs if _plain(word) in words]
        if len(same) > 1:
            raise UsageError(
                f"--test {shards} has {' and '.join(map(printable, same))} for"
                f" {printable(name)}: name one of them with --test-label."
            )
        if same:
            found[name] = same[0]
    if not found:
        raise UsageError(
            f"--test {shards} labels none of {', '.join(map(printable, ours))}: name what it calls"
            " them with --test-label OURS=THEIRS."
        )
    for name, word in found.items():
        if twice := [other for other in found if found[other] == word and other != name]:
            raise UsageError(
                f"--test {shards}: {printable(word)} cannot stand for both {printable(name)} and"
                f" {printable(twice[0])}: change --test-label."
            )
    yield from found.items()


def _is_theirs_of_another(name: str, asked: Pairs) -> bool:
    """Whether the user said that this name there means another pathology of ours."""
    return any(_plain(t) == _plain(name) != _plain(o) for o, t in asked)


def _check_known(name: str, names: Sequence[str], what: str) -> None:
    if _plain(name) not in map(_plain, names):
        known = ", ".join(printable(word) for word in dict.fromkeys(names))
        raise UsageError(f"{what} {name!r}, which --test-label names: there are {known}.")


def _plain(name: str) -> str:
    return "".join(name.replace("_", " ").casefold().split())


def _leaks(there: Index, here: Index) -> Iterator[str]:
    """What the test shows that a run is trained or chosen on, as far as the indexes can tell.

    Hashes of patients and keys agree only between datasets of one label table and seed; sketches
    agree wherever the same picture was sealed.
    """
    test = there.split == "test"
    known = (here.split != "test") & (here.origin == "real")
    patients = {*there.patient[test]} & {*here.patient[known]} - {""}
    if patients:
        count = int(np.isin(there.patient[test], [*patients]).sum())
        yield f"{count:,} of its test images are of {len(patients):,} patients who are in training"
    keys = {*there.key[test]} & {*here.key[known]}
    if keys:
        yield f"{len(keys):,} of its test images are training images by their keys"
    sketches = {*_sketches(there, test)} & {*_sketches(here, known)}
    if sketches:
        yield f"{len(sketches):,} of its test images look exactly like training images"


def _sketches(index: Index, rows: npt.NDArray[np.bool_]) -> list[bytes]:
    """The sketches of some rows, without those of images of one grey, which anybody may have."""
    found = index.sketch[rows]
    if not found.size:
        return []
    return [row.tobytes() for row in found[found.min(axis=1) < found.max(axis=1)]]
