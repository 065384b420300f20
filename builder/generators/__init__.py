"""Generators by name or path, found through the entry points of group `cxr_rebalance.generators`.

An entry point is a function `(argument: str, image_size: int, **options: str) -> Generator`; its
options are keywords with defaults. `NAME` calls it with "", `NAME:ARGUMENT` passes ARGUMENT on,
and the path of a .safetensors file calls the one that the file's header names. What comes out is a
Generator (see builder.render) and its identity: the sha256 of its weights or of its code, or of
both where another package has it.
"""

import hashlib
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from builder.contract import CheckError, UsageError, sha256_bytes, sha256_file
from builder.contract.record import as_record, parse_json
from builder.contract.tensors import read_tensors_header
from builder.generators.kinds import GENERATOR, check_kind
from builder.plugin import code_sha256, plugin_code
from builder.render import Generator

GROUP = "cxr_rebalance.generators"

Options = tuple[tuple[str, str], ...]  # (name, value)
Load = Callable[..., Generator]  # an entry point's function


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorFacts:
    """What a manifest says about the generator."""

    name: str
    sha256: str
    resolution: int
    labels: tuple[str, ...]
    latent_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A generator with the identity that goes into recipe and manifest."""

    name: str  # of its entry point
    sha256: str  # its identity
    generator: Generator

    def facts(self) -> GeneratorFacts:
        """Name, identity and what the generator can show."""
        return GeneratorFacts(
            name=self.name,
            sha256=self.sha256,
            resolution=self.generator.resolution,
            labels=tuple(self.generator.labels),
            latent_size=self.generator.latent_size,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What every generator's header in a .safetensors file says."""

    generator: str


def load(name_or_path: str, image_size: int = 224, options: Options = ()) -> Generator:
    """The generator that `name_or_path` means, ready to render; UsageError if there is none."""
    return find(name_or_path, image_size, options).generator


@lru_cache(maxsize=2)
def find(name_or_path: str, image_size: int, options: Options = ()) -> Loaded:
    """The generator that `name_or_path` means, with its identity.

    `image_size` is a wish: a procedural generator takes it as its resolution, a trained one has
    its own. `options` are (name, value) pairs. UsageError where no generator has that name, or it
    does not take an option, or code of another package fails; CheckError where a file of weights is
    damaged.
    """
    entry, argument = _entry_of(name_or_path)
    function = _function(entry, name_or_path, options)
    with _loading(entry, name_or_path, options):
        generator = function(argument, image_size, **dict(options))
    _check_attributes(entry.name, generator)
    return Loaded(name=entry.name, sha256=_identity(function, argument), generator=generator)


def check_named(name_or_path: str, options: Options = ()) -> None:
    """Raise what `find` raises for a name or an option, and make no generator.

    Its module is imported only where there are options.
    """
    entry, _ = _entry_of(name_or_path)
    if options:
        _function(entry, name_or_path, options)


def _entry_of(name_or_path: str) -> tuple[EntryPoint, str]:
    """The entry point that `name_or_path` means, and its argument."""
    name, _, argument = name_or_path.partition(":")
    found, path = entry_points(group=GROUP), Path(name_or_path)
    is_file = path.is_file() and name_or_path not in found.names
    if is_file or (name_or_path.endswith(".safetensors") and (not argument or path.exists())):
        name, argument = _generator_of(path), name_or_path
    if name not in found.names and path.is_dir():
        raise UsageError(
            f"{path} is a folder: give a Stable Diffusion pipeline as diffusers:{path}."
        )
    if name not in found.names:
        known = ", ".join(sorted(found.names))
        raise UsageError(
            f"No generator is called {name_or_path!r}: use a .safetensors file or one of {known}."
        )
    return found[name], argument


def _function(entry: EntryPoint, name_or_path: str, options: Options) -> Load:
    """The function of an entry point; UsageError where it does not take an option."""
    with _loading(entry, name_or_path, options):
        function: Load = entry.load()
    _check_options(entry.name, function, options)
    return function


def _loading(
    entry: EntryPoint, name_or_path: str, options: Options
) -> AbstractContextManager[None]:
    """Code of another package, which may raise anything, is run in here."""
    check = f"check --generator {name_or_path}"
    then = (
        f"{check} and its --generator-option, whose value arrives as text: load must convert it, "
        "as docs/plugin shows"
        if options
        else f"{check}, and the code of its package"
    )
    return plugin_code(
        entry.module, f"The generator {entry.name} cannot be loaded", then, UsageError
    )


def _check_options(name: str, function: Load, options: Options) -> None:
    parameters = inspect.signature(function).parameters.values()
    takes = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY]
    for option, _ in options:
        if option not in takes:
            known = f"it takes {', '.join(takes)}" if takes else "it takes none"
            raise UsageError(f"The generator {name} has no option {option!r}: {known}.")


def _check_attributes(name: str, generator: object) -> None:
    """UsageError where an object of another package is no Generator."""
    labels = getattr(generator, "labels", None)
    sizes = [getattr(generator, size, None) for size in ("resolution", "latent_size")]
    names = labels if isinstance(labels, tuple | list) else ()
    named = names and all(isinstance(label, str) for label in names)
    sized = all(isinstance(size, int) and size > 0 for size in sizes)
    if not (named and sized and callable(generator)):
        raise UsageError(
            f"The generator {name} is no generator: its load gives a {type(generator).__name__}, "
            "and should give a callable object with labels (names in a tuple), resolution and "
            "latent_size (whole numbers), as docs/plugin shows."
        )


def _generator_of(path: Path) -> str:
    """The name of the generator whose weights a .safetensors file holds, from its header."""
    if not path.is_file():
        raise UsageError(f"Cannot read the generator {path}: there is no such file.")
    try:
        check_kind(path, "a generator", (GENERATOR,))
    except OSError as error:
        raise UsageError(f"Cannot read the generator {path}: {error.strerror}.") from None
    try:
        text = read_tensors_header(path).metadata["header"]
    except (CheckError, OSError, KeyError):
        raise CheckError(
            f"{path} is not a generator: it is truncated, or has no header that names one."
        ) from None
    raw = parse_json(text.encode(), f"The header of {path}")
    return as_record(raw, _Header, f"{path} is not a generator: its header", False).generator


def _identity(function: Load, argument: str) -> str:
    """The sha256 of the generator's weights: the argument, or the file next to its module.

    Without weights it is that of its code. Of another package's generator it is that of both, so
    that images of corrected code are never mixed with earlier ones.
    """
    source = Path(inspect.getfile(function))
    weights = _weights(source, argument)
    if weights and function.__module__.partition(".")[0] == "builder":
        return weights
    code = code_sha256(function.__module__, source)
    return sha256_bytes(f"{weights}  weights\n{code}  code\n".encode()) if weights else code


def _weights(source: Path, argument: str) -> str | None:
    """The sha256 of the weights; None where there are none."""
    for weights in (Path(argument), source.with_suffix(".safetensors")):
        if argument and weights.is_dir():
            return _sha256_folder(weights)
        if weights.is_file():
            return sha256_file(weights)
    return None


def _sha256_folder(folder: Path) -> str:
    """The sha256 over the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if name.startswith(".") or "/." in name:  # a downloader's notes
            continue
        digest.update(f"{sha256_file(file)}  {name}\n".encode())
    return digest.hexdigest()
