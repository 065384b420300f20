"""Generators by name or path, found through the entry points of group `cxr_rebalance.generators`.

An entry point is a function `(argument: str, image_size: int) -> Generator`. `phantom` calls the
one of that name with "", `NAME:ARGUMENT` passes ARGUMENT on, and the path of a .safetensors file
calls the one that the file's header names.
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
_MOST_HEADER_BYTES = 8 << 20


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


def load(name_or_path: str, image_size: int = 224) -> Generator:
    """The generator that `name_or_path` means, ready to render; UsageError if there is none."""
    return find(name_or_path, image_size).generator


@lru_cache(maxsize=1)
def find(name_or_path: str, image_size: int) -> Loaded:
    """The generator that `name_or_path` means, with its identity; UsageError if there is none.

    `image_size` is a wish: a procedural generator takes it as its resolution, a trained one has
    its own.
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
    generator = function(argument, image_size)
    file = Path(argument)
    sha256 = sha256_file(file) if argument and file.is_file() else _source_sha256(function)
    return Loaded(name=name, sha256=sha256, generator=generator)


def _generator_of(path: Path) -> str:
    """The name of the generator whose weights a safetensors file holds, from its header."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > _MOST_HEADER_BYTES:
                raise ValueError
            header = json.loads(file.read(size))
        return str(json.loads(header["__metadata__"]["header"])["generator"])
    except OSError as error:
        raise UsageError(f"Cannot read the generator {path}: {error.strerror}.") from None
    except (KeyError, TypeError, ValueError, struct.error):
        raise CheckError(
            f"{path} is not a generator: truncated, or without the header that names one."
        ) from None


def _source_sha256(function: Any) -> str:
    """The sha256 over the module that defines `function` and the files it is spread over."""
    source = Path(inspect.getfile(function))
    digest = hashlib.sha256()
    for file in sorted(source.parent.glob(f"{source.stem}*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
