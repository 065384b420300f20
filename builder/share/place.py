"""Shards of a dataset that is rebuilt, from and to the place where readers look for them.

A rebuild works in a folder of its own below the root. What is proved gets the name that the
manifest gives it, what is not gets another: no unproved byte ever has a sealed name.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from builder.contract import (
    Manifest,
    Refusal,
    ShardEntry,
    UsageError,
    check_shard,
    index_bytes,
    save_manifest,
    sha256_bytes,
    sha256_file,
    write_last,
)
from builder.contract.new_file import link, temporary_name
from builder.share.known import Known
from builder.share.proof import Rebuilt
from builder.share.shards import synthetic_shards
from builder.write.sidecars import sum_lines

RECIPE = "recipe.json"
_NOTES = (".sketch", ".sha256", ".rejected.json")  # which a shard needs to be taken over


def is_proved(shard: ShardEntry, root: Path) -> bool:
    """Whether the shard lies below the root as it was sealed."""
    try:
        check_shard(shard, root)
    except Refusal:
        return False
    return True


def has_synthetic_half(manifest: Manifest, root: Path) -> bool:
    """Whether all synthetic shards lie below the root as sealed, as a pulled release has them."""
    released = _released(manifest)
    return all(
        _proved(shard, released, root) is not None
        for shard in manifest.shardlist
        if shard.origin == "synthetic"
    )


def _released(manifest: Manifest) -> Mapping[str, str]:
    """The names in a release of the synthetic shards, by their own."""
    return {shard.url: path for path, shard in synthetic_shards(manifest).items()}


def _proved(shard: ShardEntry, released: Mapping[str, str], root: Path) -> Path | None:
    """The file of a proved shard, under its own name or that of a release."""
    urls = (shard.url, released.get(shard.url, shard.url))
    return next((root / url for url in urls if is_proved(replace(shard, url=url), root)), None)


def adopt(manifest: Manifest, known: Known | None, root: Path, workroom: Path) -> None:
    """Link the shards that are proved below `root` into `workroom`, so that they are not remade.

    They have their own names there, or those of a release. Their notes come with them, or from what
    is known of their samples.
    """
    keys = _keys_by_shard(manifest.shardlist, known)
    released = _released(manifest)
    for shard in manifest.shardlist:
        new = workroom / shard.url
        if new.exists() or (old := _proved(shard, released, root)) is None:
            continue
        new.parent.mkdir(parents=True, exist_ok=True)
        for ending in _NOTES:
            if old.with_suffix(ending).is_file():
                shutil.copyfile(old.with_suffix(ending), new.with_suffix(ending))
        sketches = known.sketches(keys[shard.url]) if known else None
        if sketches is not None and not new.with_suffix(".sketch").exists():
            write_last(new.with_suffix(".sketch"), sketches)
            write_last(new.with_suffix(".sha256"), sum_lines(new, shard.sha256, sketches))
        link(old, new)


def publish(urls: Iterable[str], workroom: Path, root: Path, names: Mapping[str, str]) -> None:
    """Move shards with their notes below `root`, to the url that `names` gives, or their own."""
    for url in urls:
        old, new = workroom / url, root / names.get(url, url)
        new.parent.mkdir(parents=True, exist_ok=True)
        recipe = old.parent / RECIPE
        if recipe.is_file() and not (new.parent / RECIPE).exists():
            shutil.copyfile(recipe, new.parent / RECIPE)
        for file in sorted(old.parent.glob(f"{old.stem}.*"), key=_tar_last):
            target = new.parent / file.name
            if target.exists() and target.samefile(file):
                file.unlink()
            else:
                file.replace(target)


def take_over(shard: Path, target: Path) -> None:
    """Link a proved shard and its notes to `target`, if it is not there; copy it without links.

    The recipe of its folder comes first, so that a later build there is compared with it.
    UsageError where another file is in its place.
    """
    recipe = shard.parent / RECIPE
    if recipe.is_file() and not any(target.parent.glob("*.tar")):
        write_last(target.parent / RECIPE, recipe.read_bytes())
    if target.exists():
        if not target.samefile(shard) and sha256_file(target) != sha256_file(shard):
            raise UsageError(f"{target} is another shard than {shard}: use another --out.")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    for file in sorted(shard.parent.glob(f"{shard.stem}.*"), key=_tar_last):
        temporary = target.with_name(temporary_name(file.name))
        link(file, temporary)
        temporary.replace(target.with_name(file.name))


def discard(urls: Iterable[str], workroom: Path) -> None:
    """Remove shards with their notes, so that they are made again."""
    for url in urls:
        for file in (workroom / url).parent.glob(f"{(workroom / url).stem}.*"):
            file.unlink()


def other_names(urls: Iterable[str], dataset: str) -> dict[str, str]:
    """Urls for shards that are not the sealed ones, in folders that no other dataset has."""
    names = {}
    for url in urls:
        folder, file = PurePosixPath(url).parts[-2:]
        own = dataset if folder == dataset else f"{dataset}-{folder}"
        names[url] = f"shards/{own}-rebuilt/{file}"
    return names


def seal_otherwise(
    rebuilt: Rebuilt, names: Mapping[str, str], root: Path, name: str, source: Mapping[str, object]
) -> Path:
    """The path of the manifest of a dataset that is not the sealed one, written with its index.

    It has the `name`, its shards the urls of `names`, and its source says more.
    """
    manifest, index = rebuilt.manifest, rebuilt.index
    urls = np.array([names.get(url, url) for url in index.shard], dtype=object)
    data = index_bytes(replace(index, shard=urls), manifest.pathologies)
    url = f"manifests/{name}.parquet"
    write_last(root / url, data)
    sealed = replace(
        manifest,
        name=name,
        source={**manifest.source, **source},
        index=replace(manifest.index, url=url, sha256=sha256_bytes(data)),
        shardlist=tuple(replace(s, url=names.get(s.url, s.url)) for s in manifest.shardlist),
    )
    path = root / "manifests" / f"{name}.json"
    save_manifest(sealed, path)
    return path


def _keys_by_shard(shards: Iterable[ShardEntry], known: Known | None) -> dict[str, list[str]]:
    """The keys of each shard; facts stand in sealed order where they are of an index."""
    if known is None:
        return {}
    keys = list(known.facts)
    if known.index is None:  # a release: the real ones come first
        shards = sorted(shards, key=lambda shard: shard.origin == "synthetic")
    found, start = {}, 0
    for shard in shards:
        found[shard.url] = keys[start : start + shard.nsamples]
        start += shard.nsamples
    return found


def _tar_last(file: Path) -> bool:
    return file.suffix == ".tar"
