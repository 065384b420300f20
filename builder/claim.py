"""The output folder as one build's own: a lock, no leftovers, and the recipe it was begun with.

A killed build is continued by running it again. A build with another recipe in the same place
would mix two datasets, so each folder of shards remembers its recipe and a difference is refused.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builder.contract import UsageError, write_last


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Hold `out` for this process; UsageError if another build holds it. Temp files are cleared."""
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another xbuild is writing into {out}: wait for it, or use another --out."
            ) from None
        except OSError:  # a file system without locks: only the user's care keeps builds apart
            pass
        for name in ("shards", "manifests"):
            if not (out / name).resolve().is_relative_to(out.resolve()):
                raise UsageError(
                    f"{out / name} is a link that leads elsewhere, which no reader of the dataset "
                    "would follow: use --out there."
                )
        for pattern in ("shards/*/.*.tmp", "manifests/.*.tmp"):
            for leftover in out.glob(pattern):
                leftover.unlink()
        yield
    finally:
        os.close(descriptor)


def keep_recipes(recipes: Mapping[Path, Mapping[str, Any]]) -> None:
    """Note in each folder with which recipe it is filled; UsageError names a field that differs.

    All are compared before the first is written. A folder in which nothing is finished may change.
    """
    wanted = {folder: json.loads(json.dumps(recipe)) for folder, recipe in recipes.items()}
    for folder, recipe in wanted.items():
        begun = any(folder.glob("*.tar")) or (folder / "snapshot.pt").exists()
        if begun and (folder / "recipe.json").exists():
            _compare(folder, recipe)
    for folder, recipe in wanted.items():
        write_last(folder / "recipe.json", (json.dumps(recipe, indent=2) + "\n").encode())


def _compare(folder: Path, wanted: dict[str, Any]) -> None:
    try:
        found = json.loads((folder / "recipe.json").read_bytes())
    except ValueError:
        raise UsageError(f"{folder / 'recipe.json'} is damaged: use another --out.") from None
    for field in (*wanted, *found):
        if found.get(field) != wanted.get(field):
            raise UsageError(
                f"{folder} was begun with {field} = {found.get(field)!r} and now "
                f"{wanted.get(field)!r} is asked for: repeat the first, or use another --out."
            )


def refuse_strangers(folder: Path, expected: Sequence[Path]) -> None:
    """Raise UsageError if `folder` holds a shard that this build would not make."""
    for path in sorted(folder.glob("*.tar")):
        if path not in expected:
            raise UsageError(
                f"{path} belongs to another plan than today's (were images mended or left out "
                f"since?): remove {folder} to render it anew."
            )
