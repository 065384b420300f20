"""A sealed dataset in the numbers that its card and `xbuild info` show → Summary."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.contract import GROUPS, Index, Manifest

FEW = 10  # persons; a smaller group is not counted in public


@dataclass(frozen=True, slots=True, kw_only=True)
class Prevalence:
    """A pathology in the training set; None where the shards of the real half do not tell."""

    pathology: str
    target: bool
    real: int | None  # positives among the real images
    synthetic: int | None  # positives among the synthetic ones
    patients: int | None = None  # persons of the real positives; None where the index is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """How often the label vectors of real images were used for a target."""

    target: str
    images: int
    vectors: int  # distinct
    most: int  # images of one vector


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupShare:
    """A word of view, sex or age among the real training images."""

    group: str
    word: str  # "" is unknown
    images: int
    patients: int  # whom they show


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts of a dataset; `real` and `synthetic` are of training images."""

    real: int
    synthetic: int
    held_out: int  # real images for validation and test
    packed: bool  # whether the real images are part of it
    prevalence: tuple[Prevalence, ...]
    reuse: tuple[Reuse, ...] = ()
    groups: tuple[GroupShare, ...] = ()


def summarise(manifest: Manifest, index: Index | None) -> Summary:
    """The numbers of a dataset; without its index, those that the manifest alone knows."""
    counts = dict.fromkeys(("real", "synthetic", "held_out"), 0)
    for shard in manifest.shardlist:
        held_out = shard.split != "train"
        counts["held_out" if held_out else shard.origin] += shard.nsamples
    packed = counts["real"] > 0
    real = counts["real"] if packed or manifest.plan is None else manifest.plan.real
    return Summary(
        real=real,
        synthetic=counts["synthetic"],
        held_out=counts["held_out"],
        packed=packed,
        prevalence=tuple(
            _prevalence(manifest, index, name, packed) for name in manifest.pathologies
        ),
        reuse=() if index is None else tuple(_reuse(index, name) for name in manifest.targets),
        groups=() if index is None else _groups(index),
    )


def origins(manifest: Manifest) -> str:
    """Which other datasets it was made from, in words; "" where it was built from a table."""
    merged, rebuilt = (manifest.source.get(name) for name in ("merged", "rebuilt_from"))
    if isinstance(merged, list | tuple):
        return f"merged from {', '.join(map(_named, merged))}"
    if rebuilt:
        return f"rebuilt from {_named(rebuilt)}, from which it differs"
    return ""


def _named(source: object) -> str:
    """The name and the digest in a note of where a dataset comes from."""
    note = source if isinstance(source, dict) else {}
    return f"{note.get('name', 'an unknown one')} ({str(note.get('digest', 'unknown'))[:12]})"


def _prevalence(manifest: Manifest, index: Index | None, name: str, packed: bool) -> Prevalence:
    targets = (
        {target.pathology: target for target in manifest.plan.targets} if manifest.plan else {}
    )
    real = synthetic = patients = None
    if name in targets:
        real = targets[name].real_positives
        synthetic = targets[name].positives - real
    if index is not None:
        train = index.split == "train"
        positive = train & (index.labels[:, manifest.pathologies.index(name)] == 1)
        synthetic = int((positive & (index.origin == "synthetic")).sum())
        if packed:
            positive &= index.origin == "real"
            real, patients = int(positive.sum()), _persons(index, positive)
    return Prevalence(
        pathology=name,
        target=name in targets,
        real=real,
        synthetic=synthetic,
        patients=patients,
    )


def _reuse(index: Index, target: str) -> Reuse:
    own = (index.origin == "synthetic") & (index.target == target)
    vectors = np.ascontiguousarray(index.labels[own])
    _, uses = np.unique(vectors, axis=0, return_counts=True)
    most = int(uses.max(initial=0))  # a target that has its share already gets no image
    return Reuse(target=target, images=int(own.sum()), vectors=len(uses), most=most)


def _groups(index: Index) -> tuple[GroupShare, ...]:
    """view, sex and age of the real training images, where any of them is known."""
    train = (index.split == "train") & (index.origin == "real")
    found = []
    for group, words in GROUPS.items():
        column = getattr(index, group)
        if (column[train] != "").any():
            rows = [(word, train & (column == word)) for word in (*words, "")]
            found += [
                GroupShare(
                    group=group, word=word, images=int(own.sum()), patients=_persons(index, own)
                )
                for word, own in rows
                if own.any()
            ]
    return tuple(found)


def rejects(generator: Mapping[str, object]) -> str:
    """How many images of a generator were rejected for each reason; "" if none were.

    `generator` is what a manifest says of it, which may be a stranger's.
    """
    found = generator.get("rejected")
    counts = found.items() if isinstance(found, Mapping) else ()
    return ", ".join(f"{n:,} because {why}" for why, n in counts if isinstance(n, int))


def _persons(index: Index, rows: npt.NDArray[np.bool_]) -> int:
    """How many persons the images of these rows show."""
    return len({*index.patient[rows].tolist()})
