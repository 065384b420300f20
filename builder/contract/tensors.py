"""The header of a .safetensors file: what it says of itself, and the shapes of its tensors.

It is read here, within bounds and by the one reader of JSON, before the library maps the file: its
own limit of a hundred megabytes of header is a gigabyte of names and shapes.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.contract.errors import CheckError
from builder.contract.paths import open_file
from builder.contract.record import MAX_JSON, as_record, parse_json

_SIZES = {  # bytes of a number
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL"), 1),
}
_MAX_DIMENSIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One tensor of the file."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorsHeader:
    """What stands in front of the tensors."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, Entry]


def read_tensors_header(path: Path) -> TensorsHeader:
    """The header of the file, if its tensors lie one behind the other in all of the rest of it.

    CheckError where they do not; OSError where it cannot be read.
    """
    what = f"The header of {path}"
    with open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_JSON, size - 8):
            raise CheckError(f"{what} is refused: it has {length:,} bytes of the file's {size:,}.")
        raw = parse_json(file.read(length), what)
    if not isinstance(raw, dict):
        raise CheckError(f"{what} is refused: it is no object.")
    metadata = as_record(raw.pop("__metadata__", {}), dict[str, str], what)
    tensors = as_record(raw, dict[str, Entry], what, exact=False)
    end = 0
    for entry in sorted(tensors.values(), key=lambda each: each.data_offsets):
        start, stop = entry.data_offsets
        shaped = len(entry.shape) <= _MAX_DIMENSIONS and all(side >= 0 for side in entry.shape)
        known = entry.dtype in _SIZES and shaped
        if start != end or not known or stop - start != _bytes(entry):
            raise CheckError(f"{what} is refused: its tensors do not lie as they say.")
        end = stop
    if 8 + length + end != size:
        raise CheckError(f"{what} is refused: its tensors have {end:,} bytes, the file others.")
    return TensorsHeader(metadata=metadata, tensors=tensors)


def _bytes(entry: Entry) -> int:
    return math.prod(entry.shape) * _SIZES[entry.dtype]
