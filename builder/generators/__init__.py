"""Generators by name or path, found through the entry points of group `cxr_rebalance.generators`.

An entry point is a function `(argument: str, image_size: int, **options: str) -> Generator`, which
names the options that it takes as keywords with defaults. `phantom` calls the
one of that name with "", `NAME:ARGUMENT` passes ARGUMENT on, and the path of a .safetensors file
calls the one that the file's header names. A module's own weights lie beside it under its name.
"""

import hashlib
import inspect
import json
import struct
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from builder.contract import CheckError, UsageError, sha256_file
from builder.render import Generator

GROUP = "cxr_rebalance.generators"
_MAX_HEADER_BYTES = 8 << 20

Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A generator with the identity that goes into recipe and manifest."""

    name: str
    sha256: str  # of its weight file, or of its source code where it has none
    generator: Generator

    def facts(self) -> dict[str, Any]:
        """What a manifest says of the generator."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "resolution": self.generator.resolution,
            "labels": list(self.generator.labels),
            "latent_size": self.generator.latent_size,
        }


def load(name_or_path: str, image_size: int = 224, options: Options = ()) -> Generator:
    """The generator that `name_or_path` means, ready to render; UsageError if there is none."""
    return find(name_or_path, image_size, options).generator


@lru_cache(maxsize=2)
def find(name_or_path: str, image_size: int, options: Options = ()) -> Loaded:
    """The generator that `name_or_path` means, with its identity; UsageError if there is none.

    `image_size` is a wish: a procedural generator takes it as its resolution, a trained one has
    its own. `options` are (name, value) pairs; UsageError on one that the generator does not take.
    """
    name, _, argument = name_or_path.partition(":")
    if name_or_path.endswith(".safetensors") and (not argument or Path(name_or_path).exists()):
        name, argument = _generator_of(Path(name_or_path)), name_or_path
    found = entry_points(group=GROUP)
    if name not in found.names:
        known = ", ".join(sorted(found.names))
        raise UsageError(
            f"No generator is called {name_or_path!r}: use a .safetensors file or one of {known}."
        )
    function = found[name].load()
    _check_options(name, function, options)
    generator = function(argument, image_size, **dict(options))
    return Loaded(name=name, sha256=_identity(function, argument), generator=generator)


def _check_options(name: str, function: Any, options: Options) -> None:
    parameters = inspect.signature(function).parameters.values()
    takes = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY]
    for option, _ in options:
        if option not in takes:
            known = f"it takes {', '.join(takes)}" if takes else "it takes none"
            raise UsageError(f"The generator {name} has no option {option!r}: {known}.")


def _generator_of(path: Path) -> str:
    """The name of the generator whose weights a safetensors file holds, from its header."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > _MAX_HEADER_BYTES:
                raise ValueError
            header = json.loads(file.read(size))
        return str(json.loads(header["__metadata__"]["header"])["generator"])
    except OSError as error:
        raise UsageError(f"Cannot read the generator {path}: {error.strerror}.") from None
    except (KeyError, TypeError, ValueError, struct.error):
        raise CheckError(
            f"{path} is not a generator: truncated, or without the header that names one."
        ) from None


def _identity(function: Any, argument: str) -> str:
    """The sha256 of the weights that are the argument, or lie beside the module; else of its code.

    A module's code may be spread over files that begin with its name.
    """
    source = Path(inspect.getfile(function))
    for weights in (Path(argument), source.with_suffix(".safetensors")):
        if argument and weights.is_dir():
            return _sha256_folder(weights)
        if weights.is_file():
            return sha256_file(weights)
    digest = hashlib.sha256()
    for file in sorted(source.parent.glob(f"{source.stem}*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _sha256_folder(folder: Path) -> str:
    """The sha256 over the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if name.startswith(".") or "/." in name:  # a downloader's notes
            continue
        digest.update(f"{sha256_file(file)}  {name}\n".encode())
    return digest.hexdigest()
