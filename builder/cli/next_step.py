"""What a recipient of a dataset does next, with the commands."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from builder.contract import CheckError, Manifest, dataset_root, index_root, printable, resolve

_ALWAYS = ("dataset", "regime", "split", "seed", "holdout", "image_size")
_WHERE_OTHER = ("uncertain", "views", "depth", "window", "upsample", "codec")
_OPTIONS = {"codec": "--format", "label_columns": "--label-column"}  # others have the field's name


def next_step(manifest: Manifest, path: Path) -> str:
    """What a recipient does next with the dataset of the manifest in the file `path`."""
    own = shlex.quote(str(path))
    if all(shard.origin == "synthetic" for shard in manifest.shardlist):
        return _with_real_images(manifest, own)
    if "merged" in manifest.source:
        return (
            "rebuild each of the datasets that it was merged from, and merge them again; "
            f"xbuild info {own} names them."
        )
    if "rebuilt_from" in manifest.source:
        return (
            "rebuild the dataset that it was rebuilt from, since this one cannot be rebuilt; "
            f"xbuild info {own} names that one."
        )
    return f"xbuild rebuild {own}{_where(manifest)}"


def check_here(manifest: Manifest, path: Path, root: Path | None) -> None:
    """Raise CheckError where the index or shards are absent, with what a recipient does about it.

    The shards are under `root` if not beside the manifest in the file `path`.
    """
    if not (index_root(manifest, path, root) / manifest.index.url).is_file():
        raise CheckError(
            f"{path} has no index beside it, so its real images are not here either: first "
            f"{next_step(manifest, path)}"
        )
    place = root or dataset_root(path)
    shards = [shard.url for shard in manifest.shardlist]
    absent = [url for url in shards if not resolve(place, url).is_file()]
    if not absent:
        return
    half = all(shard.origin == "synthetic" for shard in manifest.shardlist)
    again = f"xbuild rebuild {shlex.quote(str(path))}" if half else next_step(manifest, path)
    raise CheckError(
        f"{len(absent)} of {len(shards)} shards of {path} are missing under {place}, the first is "
        f"{absent[0]}: name the folder that holds shards/ by --shards-root, or first {again}"
    )


def pack_command(manifest: Manifest) -> str:
    """The `xbuild pack` of the real images that the synthetic ones of the manifest are for.

    The words of a manifest may be a stranger's: each is quoted for a shell.
    """
    words = [word for name, value in _asked(manifest) for word in _option(name, value)]
    quoted = " ".join(shlex.quote(printable(word, len(word))) for word in words)
    return f"xbuild pack {quoted}{_where(manifest)}"


def _with_real_images(manifest: Manifest, own: str) -> str:
    """How the images of a recipient are put to a synthetic half."""
    pack = f"pack your own real images, and put both together:\n  {pack_command(manifest)}"
    if "merged" in manifest.source:
        return (
            f"{pack}\n  xbuild merge DATASETS-THAT-IT-WAS-MERGED-FROM YOUR-MANIFEST --name both\n"
            f"xbuild info {own} names these datasets; what was merged is not merged again."
        )
    return f"{pack}\n  xbuild merge {own} YOUR-MANIFEST --name both"


def _where(manifest: Manifest) -> str:
    """The options that only the recipient can complete."""
    if manifest.dataset == "demo":
        return ""
    labels = " --labels YOUR-TABLE" if manifest.dataset == "table" else ""
    return f"{labels} --root YOUR-IMAGES"


def _asked(manifest: Manifest) -> Iterator[tuple[str, object]]:
    """The fields of a recipe that real images depend on: the main ones, and what is not usual."""
    from builder.recipe import RealRequest

    usual = asdict(RealRequest(dataset=""))
    table = manifest.recipe.get("table")
    options: Mapping[str, object] = table if isinstance(table, dict) else {}
    image = {"image_size": manifest.image.width, "codec": manifest.image.codec}
    found = {**manifest.recipe, **image}
    for name in _ALWAYS:
        if found.get(name) is not None:
            yield name, found[name]
    for name in _WHERE_OTHER:
        if found.get(name) and found[name] != usual[name]:
            yield name, found[name]
    for name, default in usual["table"].items():
        if options.get(name) and options[name] != default:
            yield name, options[name]


def _option(name: str, value: object) -> list[str]:
    """A field of a recipe as words of a command."""
    option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
    if value is True:
        return [option]
    values = [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]
    if name == "label_columns":
        return [word for each in values for word in (option, each)]
    return [option, *values]
