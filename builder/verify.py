"""A sealed dataset, recomputed from its shards → all of its faults.

Reads what is on disk and nothing else: no label table and no generator.
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from builder.contract import (
    GROUPS,
    PATIENT,
    SPLITS,
    Bytes,
    CheckError,
    Index,
    Manifest,
    PlanProof,
    Sample,
    ShardEntry,
    TargetCount,
    check_shard,
    dataset_root,
    decode_image,
    index_root,
    load_index,
    load_manifest,
    sketch_distance,
    sketch_of,
    tar,
)
from builder.contract.sketch import CODEC_DISTANCE
from builder.progress import Advance
from builder.store import OutOfReach
from builder.store.dataset import Near


def verify(
    manifest_path: Path,
    *,
    root: Path | None = None,
    advance: Advance = lambda _: None,
    near: Near | None = None,
) -> Iterator[str]:
    """The faults of a dataset, one sentence each; a sound one has none.

    Checks the manifest and the index, each shard's size, sha256, layout, labels, pixels and
    sketches, its .idx, the plan's counts and shares in integers, and the patients. `advance` is
    called with the number of samples done. `near` brings shards that are elsewhere, one at a time;
    OutOfReach where the network fails.
    """
    try:
        manifest = load_manifest(manifest_path)
        index = load_index(manifest, index_root(manifest, manifest_path, root))
        root = root or dataset_root(manifest_path)
    except CheckError as error:
        yield str(error)
        return
    start = 0
    for number, shard in enumerate(manifest.shardlist):
        if near is not None:
            near.expect(manifest.shardlist[number + 1 : number + 2])
        if (fault := _brought(shard, near)) is not None:
            yield fault
        else:
            yield from _check_shard(manifest, index, shard, start, root)
        if near is not None:
            near.drop(shard)
        start += shard.nsamples
        advance(shard.nsamples)
    if manifest.plan is not None:  # without one, the contract refuses synthetic images
        yield from _check_plan(manifest, manifest.plan, index)
    yield from _check_patients(index)


def _brought(shard: ShardEntry, near: Near | None) -> str | None:
    """Why a shard that is elsewhere cannot be brought; None where it is on this disk now."""
    if near is None:
        return None
    try:
        near.bring(shard)
    except OutOfReach:
        raise
    except CheckError as error:
        return str(error)
    return None


def _check_shard(
    manifest: Manifest, index: Index, shard: ShardEntry, start: int, root: Path
) -> Iterator[str]:
    """The faults of a shard whose first sample is row `start` of the index."""
    codec = manifest.image.codec
    lines = []
    row = start
    try:
        path = check_shard(shard, root)
        for member in tar.walk(path, codec, manifest.image.max_bytes):
            if row == start + shard.nsamples:
                yield f"{shard.url} holds more than the {shard.nsamples} samples it should."
                return
            yield from _check_member(manifest, index, row, member, shard.url)
            size, json_size = len(member.image), len(member.json)
            lines.append(tar.idx_line(member.key, codec, member.offset, size, json_size))
            row += 1
    except CheckError as error:
        yield str(error)
        return
    if row < start + shard.nsamples:
        yield f"{shard.url} holds {row - start} samples, the manifest says {shard.nsamples}."
    idx = path.with_suffix(".idx")
    if not idx.is_file() or idx.read_bytes() != tar.idx_text(lines):
        yield f"{idx.name} of {shard.url} is missing or does not point at its members."


def _check_member(
    manifest: Manifest, index: Index, row: int, member: tar.Member, url: str
) -> Iterator[str]:
    where = f"{url}, sample {member.key}"
    if member.key != index.key[row]:
        yield f"{where}: the index has {index.key[row]} in its place."
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
    yield from _check_sketch(manifest, index, row, pixels, where)


def _check_sketch(
    manifest: Manifest, index: Index, row: int, pixels: Bytes, where: str
) -> Iterator[str]:
    """The fault of a sketch that is not of these pixels, which an encoder may have changed."""
    if not index.sketch.size:
        return
    limit = 0 if manifest.image.codec == "png" else CODEC_DISTANCE
    distance = int(sketch_distance(index.sketch[row : row + 1], sketch_of(pixels)[None])[0])
    if distance > limit:
        yield (
            f"{where}: its sketch in the index is {distance} greys from its pixels; at most "
            f"{limit} are possible."
        )


def sample_at(index: Index, row: int) -> Sample:
    """The sample in one row of an index."""
    return Sample(
        key=str(index.key[row]),
        split=index.split[row],
        origin=index.origin[row],
        target=str(index.target[row]),
        draw=int(index.draw[row]),
        patient=str(index.patient[row]),
        labels=tuple(index.labels[row].tolist()),
        view=str(index.view[row]),
        sex=str(index.sex[row]),
        age=str(index.age[row]),
    )


def _check_plan(manifest: Manifest, plan: PlanProof, index: Index) -> Iterator[str]:
    """The faults of the plan's counts and shares, counted again in the index."""
    synthetic = index.origin == "synthetic"
    train = (index.split == "train") & ~synthetic
    packed = _has_real_images(manifest)
    if not packed and (index.origin == "real").any():
        yield "The recipe says that no real image was packed, and the shards hold some."
    if packed and train.sum() != plan.real:
        yield f"The shards hold {train.sum()} real training images, the plan says {plan.real}."
    if synthetic.sum() != plan.synthetic:
        yield f"The shards hold {synthetic.sum()} synthetic images, the plan says {plan.synthetic}."
    for target in plan.targets:
        yield from _check_target(manifest, plan, target, index)
    if not plan.lower_bound <= plan.synthetic:
        yield (
            f"The plan's lower bound of {plan.lower_bound} images is above the {plan.synthetic} "
            "that it has."
        )
    if not np.isin(index.target[synthetic], manifest.targets).all():
        yield "A synthetic image was made for a pathology that is no target."


def _check_target(
    manifest: Manifest, plan: PlanProof, target: TargetCount, index: Index
) -> Iterator[str]:
    name = target.pathology
    synthetic = index.origin == "synthetic"
    train = (index.split == "train") & ~synthetic
    positive = index.labels[:, manifest.pathologies.index(name)] == 1
    own = synthetic & (index.target == name)
    if own.sum() != target.render:
        yield f"{own.sum()} images were made for {name}, the plan says {target.render}."
    if not positive[own].all():
        yield f"An image that was made for {name} does not have that label."
    # The synthetic half alone cannot show how many real positives there are.
    real = int((train & positive).sum()) if _has_real_images(manifest) else target.real_positives
    positives = real + int((synthetic & positive).sum())
    if (real, positives) != (target.real_positives, target.positives):
        yield (
            f"{name} has {real} real and {positives} positives in all, "
            f"the plan says {target.real_positives} and {target.positives}."
        )
    if manifest.vectors == "alone" and ((index.labels[own] != 0).sum(axis=1) > 1).any():
        yield f"An image that was made for {name} alone has another label, too."
    total = plan.real + plan.synthetic
    numerator, denominator = plan.share
    if denominator * positives < numerator * total:
        yield (
            f"{name} is short of its share: {denominator}·{positives} is less than "
            f"{numerator}·{total}."
        )
    if target.share != positives / total:
        yield f"The plan says that {name} has a share of {target.share}, which is not true."


def _has_real_images(manifest: Manifest) -> bool:
    return manifest.recipe.get("real") != "none"


def _check_patients(index: Index) -> Iterator[str]:
    synthetic = index.origin == "synthetic"
    if (index.patient[synthetic] != "").any():
        yield "A synthetic image has a patient."
    for name in GROUPS:
        if (getattr(index, name)[synthetic] != "").any():
            yield f"A synthetic image has a value in column {name}, though it shows no patient."
    if any(not PATIENT.fullmatch(patient) for patient in set(index.patient[~synthetic])):
        yield "A real image's patient is not a salted hash."
    for one, other in combinations(SPLITS, 2):
        mine = set(index.patient[(index.split == one) & ~synthetic])
        if mine & set(index.patient[index.split == other]):
            yield f"A patient is in {one} and in {other}."
