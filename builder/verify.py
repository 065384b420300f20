"""A sealed dataset recomputed from its shards → every fault there is.

Reads what is on disk and nothing else: no label table, no recipe, no generator.
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from builder.contract import (
    GROUPS,
    PATIENT,
    SPLITS,
    CheckError,
    Index,
    Manifest,
    Sample,
    ShardEntry,
    check_shard,
    dataset_root,
    decode_image,
    index_root,
    load_index,
    load_manifest,
    tar,
)
from builder.progress import Advance


def verify(
    manifest_path: Path,
    *,
    root: Path | None = None,
    advance: Advance = lambda _: None,
) -> Iterator[str]:
    """The faults of a dataset, one sentence each; none: it is what it says.

    Checks the manifest and the index, each shard's size, sha256, layout, labels and pixels, its
    .idx, and the plan's counts and shares in integers. `advance` is told the samples done.
    """
    try:
        manifest = load_manifest(manifest_path)
        index = load_index(manifest, index_root(manifest, manifest_path, root))
        root = root or dataset_root(manifest_path)
    except CheckError as error:
        yield str(error)
        return
    start = 0
    for shard in manifest.shardlist:
        yield from _check_shard(manifest, index, shard, start, root)
        start += shard.nsamples
        advance(shard.nsamples)
    yield from _check_plan(manifest, index)


def _check_shard(
    manifest: Manifest, index: Index, shard: ShardEntry, start: int, root: Path
) -> Iterator[str]:
    lines = []
    row = start
    try:
        path = check_shard(shard, root)
        for member in tar.walk(path, manifest.image.codec, manifest.image.max_bytes):
            if row == start + shard.nsamples:
                yield f"{shard.url} holds more than the {shard.nsamples} samples it should."
                return
            yield from _check_member(manifest, index, row, member, shard.url)
            lines.append(
                tar.idx_line(
                    member.key,
                    manifest.image.codec,
                    member.offset,
                    len(member.image),
                    len(member.json),
                )
            )
            row += 1
    except CheckError as error:
        yield str(error)
        return
    if row < start + shard.nsamples:
        yield f"{shard.url} holds {row - start} samples, the manifest says {shard.nsamples}."
    idx = path.with_suffix(".idx")
    if not idx.is_file() or idx.read_bytes() != tar.idx_text(lines):
        yield f"{idx.name} beside {shard.url} is missing or does not point at its members."


def _check_member(
    manifest: Manifest, index: Index, row: int, member: tar.Member, url: str
) -> Iterator[str]:
    where = f"{url}, sample {member.key}"
    if member.key != index.key[row]:
        yield f"{where}: the index has {index.key[row]} in this place."
        return
    if (member.offset, len(member.image)) != (index.offset[row], index.size[row]):
        yield f"{where}: the index points elsewhere."
    if member.json != sample_at(index, row).to_json(manifest.pathologies):
        yield f"{where}: its labels or origin differ from the index."
    try:
        pixels = decode_image(member.image, manifest.image)
    except ValueError as error:
        yield f"{where}: the image does not decode ({error})."
        return
    if pixels.min() == pixels.max():
        yield f"{where}: every pixel is the same."


def sample_at(index: Index, row: int) -> Sample:
    """The sample in one row of an index."""
    return Sample(
        key=str(index.key[row]),
        split=str(index.split[row]),
        origin=str(index.origin[row]),
        target=str(index.target[row]),
        draw=int(index.draw[row]),
        patient=str(index.patient[row]),
        labels=tuple(index.labels[row].tolist()),
        view=str(index.view[row]),
        sex=str(index.sex[row]),
        age=str(index.age[row]),
    )


def _check_plan(manifest: Manifest, index: Index) -> Iterator[str]:
    plan = manifest.plan
    synthetic = index.origin == "synthetic"
    train = (index.split == "train") & ~synthetic
    whole = manifest.recipe.get("real") != "none"  # the synthetic half alone cannot show the other
    if not whole and (index.origin == "real").any():
        yield "The recipe says that no real image was packed, and the shards hold some."
    if whole and train.sum() != plan.real:
        yield f"The shards hold {train.sum()} real training images, the plan says {plan.real}."
    if synthetic.sum() != plan.synthetic:
        yield f"The shards hold {synthetic.sum()} synthetic images, the plan says {plan.synthetic}."
    numerator, denominator = plan.share
    for target in plan.targets:
        if target.pathology not in manifest.pathologies:
            yield f"The plan's target {target.pathology} is none of the dataset's pathologies."
            continue
        positive = index.labels[:, manifest.pathologies.index(target.pathology)] == 1
        own = int((synthetic & (index.target == target.pathology)).sum())
        if own != target.render:
            yield f"{own} images were made for {target.pathology}, the plan says {target.render}."
        real = int((train & positive).sum()) if whole else target.real_positives
        positives = real + int((synthetic & positive).sum())
        if (real, positives) != (target.real_positives, target.positives):
            yield (
                f"{target.pathology} has {real} real and {positives} positives in all, "
                f"the plan says {target.real_positives} and {target.positives}."
            )
        if denominator * positives < numerator * (plan.real + plan.synthetic):
            yield (
                f"{target.pathology} is short of its share: {denominator}·{positives} < "
                f"{numerator}·{plan.real + plan.synthetic}."
            )
        if target.share != positives / (plan.real + plan.synthetic):
            yield f"{target.pathology} is said to have a share of {target.share}: it has not."
        if not positive[synthetic & (index.target == target.pathology)].all():
            yield f"An image made for {target.pathology} has not the label."
    if not 0 <= plan.lower_bound <= plan.synthetic:
        yield f"The plan's lower bound {plan.lower_bound} is none of {plan.synthetic} images."
    if not np.isin(index.target[synthetic], [target.pathology for target in plan.targets]).all():
        yield "A synthetic image was made for something that is no target."
    yield from _check_patients(index, synthetic)


def _check_patients(index: Index, synthetic: npt.NDArray[np.bool_]) -> Iterator[str]:
    if (index.patient[synthetic] != "").any():
        yield "A synthetic image has a patient."
    for name in GROUPS:
        if (getattr(index, name)[synthetic] != "").any():
            yield f"A synthetic image has a value in column {name}: it shows no patient."
    if any(not PATIENT.fullmatch(patient) for patient in set(index.patient[~synthetic])):
        yield "A real image's patient is not a salted hash."
    for one, other in combinations(SPLITS, 2):
        mine = set(index.patient[(index.split == one) & ~synthetic])
        if mine & set(index.patient[index.split == other]):
            yield f"A patient is in {one} and in {other}."
