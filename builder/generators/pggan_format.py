"""The `.safetensors` of the paper's generator, version 1: header, names and shapes of tensors.

`tfpickle` and `fitgan` write the file, `pggan` reads it. The tensors are the published TensorFlow
variables under their own names, layouts and scale; `__metadata__["header"]` is JSON with the rest.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from reprlib import repr as brief  # a stranger's value may be megabytes long
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from builder.contract import CheckError, Refusal, check_pathologies
from builder.contract.record import as_record, parse_json

GENERATOR = "pggan"
VERSION = 1
MAX_BYTES = 4 << 30  # 40 times the published network's weights

Shape = tuple[int, ...]

# What was imported as a whole number stays one, so that the same pickle gives the same bytes.
_Base = Annotated[int, Meta(ge=1, le=1 << 24)] | Annotated[float, Meta(ge=1, le=1 << 24)]
_Decay = Annotated[int, Meta(ge=0, le=16)] | Annotated[float, Meta(ge=0, le=16)]
_Epsilon = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What the published `G_paper` was built with, under its own names; CheckError if impossible.

    labels: names of the label inputs, in the network's order; none for an unconditional network.
    unseen: labels that no training image had; the network takes them but has not learnt them.
    lod: 0 = trained to the end; k + t = the blocks of the k finest resolutions are not used yet
    and the next one is blended in by 1 − t.
    """

    labels: tuple[str, ...]
    resolution: Annotated[int, Meta(ge=4, le=1024)]
    num_channels: Annotated[int, Meta(ge=1, le=1024)]
    latent_size: Annotated[int, Meta(ge=1, le=1 << 16)]
    fmap_base: _Base
    fmap_decay: _Decay
    fmap_max: Annotated[int, Meta(ge=1, le=1 << 14)]
    normalize_latents: bool
    use_wscale: bool
    use_pixelnorm: bool
    pixelnorm_epsilon: _Epsilon
    use_leakyrelu: bool
    fused_scale: bool
    lod: Annotated[float, Meta(ge=0, le=1024)]
    unseen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what fields mean together; `as_record` checks each one's type and range."""
        for names in (self.labels, self.unseen):
            _check_names(names)
        if extra := set(self.unseen) - set(self.labels):
            raise CheckError(f"The header calls {brief(min(extra))} unseen, which is not a label.")
        if self.num_channels != 1:
            raise CheckError(
                f"The network makes images of {self.num_channels} channels; radiographs have one."
            )
        if self.resolution & (self.resolution - 1):
            raise CheckError(f"The resolution must be a power of two, found {self.resolution}.")
        if min(self.maps) < 1:
            raise CheckError(f"fmap_base {self.fmap_base} leaves a block without feature maps.")

    @property
    def maps(self) -> tuple[int, ...]:
        """Feature maps of the blocks 4×4, 8×8, … up to the resolution; 2^r×2^r is stage r − 1.

        min(fmap_base / 2^(s·fmap_decay), fmap_max), s one less from stage 8 on (Han et al. 2019).
        """
        stages = range(1, self.resolution.bit_length() - 1)
        halvings = [(s - 1 if s >= 8 else s) * self.fmap_decay for s in stages]
        return tuple(min(int(self.fmap_base / 2.0**h), self.fmap_max) for h in halvings)

    def to_json(self) -> str:
        """The header: generator and version, the fields, and the feature maps."""
        about = {"generator": GENERATOR, "version": VERSION}
        return json.dumps({**about, **asdict(self), "maps": self.maps})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What a header says of the file itself."""

    generator: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maps:
    """The feature maps as a header writes them out."""

    maps: tuple[int, ...]


def check_design(design: Design) -> None:
    """Raise CheckError unless every field of the design is in its range."""
    as_record(asdict(design), Design, "The network")


def parse_header(text: str) -> Design:
    """The Design that a file's header describes; CheckError says what is wrong with it."""
    raw = parse_json(text.encode(), "The header")
    kind = as_record(raw, _Kind, "The header", exact=False)
    if kind.generator != GENERATOR:
        raise CheckError(
            f"This is a file of the generator {brief(kind.generator)}, not of {GENERATOR!r}."
        )
    if kind.version != VERSION:
        raise CheckError(f"The header has version {kind.version}; this program reads {VERSION}.")
    design = as_record(raw, Design, "The header", exact=False)
    written = as_record(raw, _Maps, "The header", exact=False).maps
    if design.maps != written:
        raise CheckError(
            f"The header's maps {brief(written)} differ from {design.maps}, which follow from its"
            " other fields."
        )
    return design


def _check_names(labels: tuple[str, ...]) -> None:
    try:
        check_pathologies(labels)
    except Refusal as error:
        raise CheckError(str(error)) from None


def layer_shapes(design: Design) -> dict[str, tuple[Shape, int]]:
    """Per layer, from latent to image: the weight's shape and the length of the bias.

    Layouts as in TensorFlow: dense [in, out·16], convolutions [k, k, in, out], but the fused
    upscaling convolution [k, k, out, in].
    """
    maps = design.maps
    shapes: dict[str, tuple[Shape, int]] = {
        "4x4/Dense": ((design.latent_size + len(design.labels), maps[0] * 16), maps[0]),
        "4x4/Conv": ((3, 3, maps[0], maps[0]), maps[0]),
    }
    for log2, (below, here) in enumerate(pairwise(maps), start=3):
        block = f"{2**log2}x{2**log2}"
        if design.fused_scale:
            shapes[f"{block}/Conv0_up"] = ((3, 3, here, below), here)
        else:
            shapes[f"{block}/Conv0"] = ((3, 3, below, here), here)
        shapes[f"{block}/Conv1"] = ((3, 3, here, here), here)
    for lod, here in enumerate(reversed(maps)):
        shapes[f"ToRGB_lod{lod}"] = ((1, 1, here, 1), 1)
    return shapes


def check_shapes(design: Design, found: Mapping[str, Shape]) -> None:
    """Raise CheckError unless `found` has exactly the design's tensors, in their shapes."""
    expected: dict[str, Shape] = {}
    for layer, (weight, bias) in layer_shapes(design).items():
        expected |= {f"{layer}/weight": weight, f"{layer}/bias": (bias,)}
    if missing := sorted(expected.keys() - found.keys()):
        raise CheckError(f"The tensor {missing[0]!r} is missing.")
    if extra := sorted(found.keys() - expected.keys()):
        raise CheckError(f"The tensor {brief(extra[0])} does not belong to this network.")
    inputs = found["4x4/Dense/weight"]
    if len(inputs) == 2 and inputs[0] != expected["4x4/Dense/weight"][0]:
        raise CheckError(
            f"The network takes {inputs[0]} inputs, but {design.latent_size} latents and "
            f"{len(design.labels)} labels are named."
        )
    for name, shape in expected.items():
        if tuple(found[name]) != shape:
            raise CheckError(f"{name} has shape {list(found[name])}, expected {list(shape)}.")


def wscale(design: Design, layer: str, weight: Shape) -> float:
    """What a layer's stored weight is multiplied by: gain / √fan_in, or 1 without use_wscale.

    The equalized learning rate of Karras et al. 2018; gain √2, √2/4 for Dense, 1 for ToRGB.
    """
    if not design.use_wscale:
        return 1.0
    gain = math.sqrt(2)
    if layer.endswith("Dense"):
        gain /= 4
    elif layer.startswith("ToRGB"):
        gain = 1.0
    inputs = weight[3] if layer.endswith("Conv0_up") else weight[-2]
    return float(np.float32(gain / math.sqrt(math.prod(weight[:-2]) * inputs)))


def pack(design: Design, tensors: Mapping[str, npt.NDArray[np.floating[Any]]]) -> bytes:
    """The file's bytes, the same for the same network; float32 or float16 tensors."""
    import safetensors.numpy

    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return safetensors.numpy.save(arrays, metadata={"header": design.to_json()})
