"""The published TensorFlow-1 pickles (Han et al. 2019) → the project's `.safetensors`.

`network-final.pkl` is the tuple (G, D, Gs). Gs, the moving average of the generator, is read as
inert records and written under its variables' own names. TensorFlow is not needed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as brief  # a stranger's value may be megabytes long

import numpy as np
import numpy.typing as npt

from builder.contract import CheckError, UsageError, check_pathologies, write_last
from builder.contract.record import as_record
from builder.generators.kinds import PICKLE, TF_PICKLE, check_kind
from builder.generators.pggan_format import Design, check_shapes, pack
from builder.generators.restricted_pickle import Array, Network, load_pickle

Variables = dict[str, npt.NDArray[np.float32]]

_DEFAULTS: dict[str, int | float] = {  # of the published `G_paper`
    "num_channels": 1,
    "resolution": 32,
    "fmap_base": 8192,
    "fmap_decay": 1.0,
    "fmap_max": 512,
    "normalize_latents": True,
    "use_wscale": True,
    "use_pixelnorm": True,
    "pixelnorm_epsilon": 1e-8,
    "use_leakyrelu": True,
    "fused_scale": True,
}
# Arguments that say how TensorFlow computes, not what it computes: the images are the same.
_NO_EFFECT = ("dtype", "structure", "is_template_graph")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The file that `convert` wrote."""

    path: Path
    design: Design
    parameters: int  # numbers in all tensors
    sha256: str  # of the file
    ignored: tuple[str, ...]  # stored arguments that the published `G_paper` ignores as well


def convert(pickle_path: Path, out_path: Path, labels: Sequence[str]) -> Conversion:
    """The moving-average generator of `network-final.pkl`, written to `out_path` in float32.

    labels: the network's label inputs by name, in its order. CheckError if the pickle is not a
    published one; UsageError if the network takes another number of labels, or if `out_path`
    exists with other content.
    """
    check_pathologies(labels)
    if pickle_path.is_file():
        check_kind(pickle_path, "a published TensorFlow pickle", (TF_PICKLE, PICKLE))
    try:
        state = _moving_average(load_pickle(pickle_path))
        variables = _variables(state.get("variables"))
        lod = variables.pop("lod", np.zeros((), np.float32))
        design, ignored = _design(state.get("static_kwargs"), lod, labels)
        check_shapes(design, {name: array.shape for name, array in variables.items()})
    except CheckError as error:
        raise CheckError(f"{pickle_path}: {error}") from None
    data = pack(design, variables)
    _write(out_path, data)
    return Conversion(
        path=out_path,
        design=design,
        parameters=sum(array.size for array in variables.values()),
        sha256=hashlib.sha256(data).hexdigest(),
        ignored=ignored,
    )


def _moving_average(loaded: object) -> dict[object, object]:
    """The state of Gs in (G, D, Gs)."""
    if type(loaded) is not tuple or len(loaded) != 3:
        raise CheckError("The pickle is not the tuple (G, D, Gs) of a published network.")
    network = loaded[2]
    if not isinstance(network, Network) or type(network.state) is not dict:
        raise CheckError("The third object of the pickle is not a tfutil.Network.")
    version, build = network.state.get("version"), network.state.get("build_func_name")
    if version != 2 or build != "G_paper":
        raise CheckError(
            f"Gs is a {brief(build)} of version {brief(version)}, expected 'G_paper' of version 2."
        )
    return network.state


def _variables(listed: object) -> Variables:
    """The float32 arrays of a network by name."""
    if type(listed) is not list or not all(type(v) is tuple and len(v) == 2 for v in listed):
        raise CheckError("The network's variables are not a list of names and arrays.")
    found: Variables = {}
    seen = set[int]()  # data, of which each variable would make a copy of its own
    for name, value in listed:
        if type(name) is not str or name in found or not isinstance(value, Array):
            raise CheckError(f"The variable {brief(name)} is not an array or appears twice.")
        if id(value.data) in seen:
            raise CheckError(f"The variable {brief(name)} is the same array as another one.")
        seen.add(id(value.data))
        array = value.numbers()
        with np.errstate(over="ignore"):  # what float32 cannot hold is found infinite below
            found[name] = array.astype(np.float32)
        if array.dtype.kind != "f" or not np.isfinite(found[name]).all():
            raise CheckError(f"The variable {brief(name)} holds values other than finite float32.")
    return found


def _design(
    stored: object, lod: npt.NDArray[np.float32], labels: Sequence[str]
) -> tuple[Design, tuple[str, ...]]:
    """The design by the stored arguments and lod, and the names of unknown arguments."""
    if type(stored) is not dict or not all(type(name) is str for name in stored):
        raise CheckError("The network's static_kwargs are not a dictionary of arguments.")
    given = {name: _plain(name, value) for name, value in stored.items()}
    size = given.pop("label_size", 0)
    if size != len(labels):
        raise UsageError(
            f"The network takes {brief(size)} labels, but {len(labels)} names were given: name "
            "each label input once, in the network's order."
        )
    if lod.size != 1:
        raise CheckError(f"The variable 'lod' has shape {list(lod.shape)}, expected one number.")
    fields = {name: given.pop(name, default) for name, default in _DEFAULTS.items()}
    latents = given.pop("latent_size", None)
    fields |= {"labels": tuple(labels), "lod": float(lod.item())}
    fields["latent_size"] = 1 if latents is None else latents
    design = as_record(fields, Design, "The network")
    if latents is None:  # G_paper's default: the feature maps of stage 0
        design = replace(design, latent_size=min(int(design.fmap_base), design.fmap_max))
    return design, tuple(sorted(given.keys() - set(_NO_EFFECT)))


def _plain(name: str, value: object) -> object:
    """A stored argument; numpy scalars become Python numbers."""
    if not isinstance(value, Array):
        return value
    number = value.numbers()
    if number.size != 1:
        raise CheckError(f"The argument {brief(name)} is an array.")
    plain: object = number.item()
    return plain


def _write(path: Path, data: bytes) -> None:
    try:
        if path.exists():
            if path.is_file() and path.read_bytes() == data:
                return
            raise UsageError(f"{path} exists and differs: remove it or name another file.")
        write_last(path, data)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.") from None
