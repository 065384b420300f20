"""The output folder for one build alone: a lock, no leftovers, and the recipe of each part.

A killed build is resumed by running it again. A build with another recipe in the same place would
mix two datasets, so each folder of shards remembers its recipe and a difference is refused.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from builder import generators
from builder.contract import CheckError, Refusal, UsageError, load_manifest, printable, write_last
from builder.contract.lock import NoLocksError, hold
from builder.contract.new_file import remove_leftovers, write_first
from builder.contract.record import MAX_JSON, parse_json, read_bytes
from builder.recipe import UNNOTED, Layout, RealRecipe, Recipe
from builder.software import software
from builder.store.destination import Destination, Target
from builder.store.sending import made


class BusyError(UsageError):
    """Another build holds the folder."""


@contextmanager
def claimed(
    out: Path, *, shared: bool = False, wait: Callable[[float], object] | None = None
) -> Iterator[None]:
    """Hold `out` for this process, or `shared` with parts of builds; BusyError if it is held.

    A process that already holds it keeps its first claim. `wait` is that of `hold`: while another
    process has it, `wait(seconds)` is called again and again, and may raise.

    What a killed build had not finished to write is removed, but only under the lock: now, and once
    more at the end, for a worker that outlived its build by a moment.
    """
    with ExitStack() as stack:
        try:
            if not stack.enter_context(hold(out, wait=wait, shared=shared)):
                raise BusyError(
                    f"Another xbuild is writing into {out}: wait for it, or use another --out."
                )
            check_links(out)
            _remove_leftovers(out)
            stack.callback(_remove_leftovers, out)
        except NoLocksError:  # only the user's care keeps builds apart
            check_links(out)
        yield


def _remove_leftovers(out: Path) -> None:
    for folder in (out, out / "manifests", *out.glob("shards/*")):
        remove_leftovers(folder)


def check_links(out: Path) -> None:
    """Raise UsageError where a link would lead what is written, or read again, out of `out`."""
    top = out.resolve()
    for folder in (out / "shards", out / "manifests", *out.glob("shards/*")):
        inside = [entry.path for entry in _entries(folder) if entry.is_symlink()]
        for path in (folder, *map(Path, inside)):
            if not path.resolve().is_relative_to(top):
                raise UsageError(
                    f"{path} is a link out of this folder, which no reader of the dataset would "
                    "follow: use the place that it leads to as --out."
                )


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    return [*os.scandir(folder)] if folder.is_dir() and not folder.is_symlink() else []


def keep_recipes(recipes: Mapping[Path, Mapping[str, object]], *, shared: bool = False) -> None:
    """Note in each folder the recipe that it is filled with; UsageError names a field that differs.

    All are compared before the first is written. The recipe of a folder in which nothing is
    finished may change, unless the folder is `shared` with others who have begun at this moment.
    """
    wanted = {folder: json.loads(json.dumps(recipe)) for folder, recipe in recipes.items()}
    for folder, recipe in wanted.items():
        begun = shared or any(folder.glob("*.tar")) or (folder / "snapshot.pt").exists()
        if begun and (folder / "recipe.json").exists():
            _compare(str(folder), _noted(folder / "recipe.json"), recipe, "--out")
    for folder, recipe in wanted.items():
        path, text = folder / "recipe.json", _text(recipe)
        if not shared:
            write_last(path, text)
        elif not write_first(path, text):
            _compare(str(folder), _noted(path), recipe, "--out")


def check_destination(destination: Destination | None, *, dataset: str, packs: bool) -> None:
    """Raise UsageError where images of patients would go onto the Hub."""
    if (
        destination is not None
        and destination.url.startswith("hf:")
        and packs
        and dataset != "demo"
    ):
        raise UsageError(
            f"{destination.shown} is on the Hugging Face Hub, where images of patients never go: "
            "add --real none for the synthetic half alone, or build into a bucket of your own."
        )


def begin(
    layout: Layout,
    name: str,
    noted: Mapping[str, object],
    recipes: Mapping[Path, Mapping[str, object]],
    *,
    real_only: bool = False,
    shared: bool = False,
) -> None:
    """Note the recipes of a build, here and where it goes; UsageError where another was begun.

    `noted` is the recipe of the dataset `name`, and stands in its manifest.
    """
    manifest = layout.manifest(name)
    versions = next(iter(recipes.values()))["software"]
    same = {**noted, "software": versions}
    check_name(manifest, same, real_only=real_only)  # before one of another dataset is touched
    target = layout.destination and layout.destination.open()
    if target:
        target.prepare()
        url = manifest.relative_to(layout.root).as_posix()
        if (sealed := target.read(url, MAX_JSON)) is None:
            manifest.unlink(missing_ok=True)  # of a place that was emptied since
        else:
            write_last(manifest, sealed)
            check_name(manifest, same, real_only=real_only)
        _keep_there(target, {f.relative_to(layout.root): r for f, r in recipes.items()})
    keep_recipes(recipes, shared=shared and target is None)  # what is there decides for parts


def _keep_there(target: Target, recipes: Mapping[Path, Mapping[str, object]]) -> None:
    """`keep_recipes` where a build goes: what is there is never replaced."""
    new = []
    for folder, recipe in recipes.items():
        url, text = (folder / "recipe.json").as_posix(), _text(recipe)
        there = target.read(url, MAX_JSON)
        if there is not None and there != text:
            where = f"{target.shown}/{url}"
            _compare(where, _parsed(there, where), json.loads(text), "--out")
        if there is None:
            new.append(made(url, text))
    target.put(new, lambda _: None)


def check_name(path: Path, recipe: Mapping[str, object], *, real_only: bool) -> None:
    """Raise UsageError where the manifest at `path` is not that of this very recipe.

    `recipe` has the versions of the software. Where a dataset was built here, its folder of shards
    guards its name, too; one that was merged, or is a lock file alone, has no such folder.
    """
    try:
        found = load_manifest(path)
    except Refusal:  # absent or damaged: it is sealed again
        return
    if found.real_only != real_only:
        kinds = {True: "real images alone", False: "real and synthetic images"}
        raise UsageError(
            f"{path} is a dataset of {kinds[found.real_only]}: choose another --name for this one "
            f"of {kinds[real_only]}."
        )
    for mark, origin in (("merged", "merged from others"), ("rebuilt_from", "rebuilt from one")):
        if mark in found.source:
            raise UsageError(f"{path} was {origin}, and stays: use another --name or --out.")
    noted = {**found.recipe, "software": found.software}
    _compare(str(path), noted, json.loads(json.dumps(recipe)), "--name or --out")


def real_recipes(recipe: RealRecipe, layout: Layout) -> dict[Path, Mapping[str, object]]:
    """The recipe of each folder of real shards, which datasets of any name share."""
    part = {**recipe.real_part(), "software": software()}
    if recipe.dataset == "demo":
        part["phantom_sha256"] = generators.find("phantom", recipe.image_size).sha256
    recipes: dict[Path, Mapping[str, object]] = {layout.shards("real"): part}
    if recipe.train_folder != "real":
        recipes[layout.shards(recipe.train_folder)] = {**part, "regime": recipe.regime}
    return recipes


def recipes(
    recipe: Recipe, versions: Mapping[str, str], layout: Layout
) -> dict[Path, Mapping[str, object]]:
    """The recipe of each folder of shards, real and synthetic; `versions` is `software`."""
    own = {**recipe.noted(), "software": versions}
    real = real_recipes(recipe, layout) if recipe.real == "pack" else {}
    return {layout.shards(recipe.name): own, **real}


def noted_software(folder: Path) -> Mapping[str, str]:
    """The versions in the recipe of a folder of shards, on which their bytes depend."""
    found = _noted(folder / "recipe.json").get("software")
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def noted_batch(folder: Path) -> int | None:
    """The images per call of the build that was begun in `folder`; None where there is none."""
    if not any(folder.glob("*.tar")) or not (folder / "recipe.json").is_file():
        return None
    batch = _noted(folder / "recipe.json").get("batch")
    return batch if isinstance(batch, int) else None


def _text(recipe: Mapping[str, object]) -> bytes:
    return (json.dumps(recipe, indent=2) + "\n").encode()


def _noted(path: Path) -> Mapping[str, object]:
    try:
        return _parsed(read_bytes(path), str(path))
    except CheckError:
        raise UsageError(f"{path} is damaged: use another --out.") from None


def _parsed(data: bytes, where: str) -> Mapping[str, object]:
    """A recipe from its bytes; UsageError where they are damaged."""
    try:
        found = parse_json(data, where)
        if isinstance(found, dict):
            return found
    except CheckError:
        pass
    raise UsageError(f"{where} is damaged: use another --out.")


def _compare(
    where: str, found: Mapping[str, object], wanted: Mapping[str, object], option: str
) -> None:
    for field in (*wanted, *found):
        old, new = (each.get(field, UNNOTED.get(field)) for each in (found, wanted))
        if old == new:
            continue
        if field not in found and field not in UNNOTED:
            raise UsageError(
                f"{where} was begun by an earlier version, which read images in another way (it "
                f"noted no {field}): use another {option}."
            )
        if isinstance(old, dict) and isinstance(new, dict):
            _compare(where, old, new, option)
        raise UsageError(
            f"{where} was begun with {field} = {printable(repr(old))} and now "
            f"{printable(repr(new))} is asked for: repeat the first, or use another {option}."
        )


def check_shards(layout: Layout, folder: Path, expected: Sequence[Path]) -> None:
    """Raise UsageError if `folder` holds a shard that this build would not make.

    So does what was sent from it.
    """
    url, names = folder.relative_to(layout.root).as_posix(), {path.name for path in expected}
    places = {str(folder): (path.name for path in folder.glob("*.tar"))}
    if layout.destination is not None:
        there = layout.destination.open().sizes(url)
        places[f"{layout.destination.shown}/{url}"] = (n for n in there if n.endswith(".tar"))
    for place, found in places.items():
        for name in sorted({*found} - names):
            raise UsageError(
                f"{place}/{printable(name)} belongs to another plan than today's (were images "
                f"repaired or left out since?): remove {place} to render it again."
            )
