"""Files of torch.save as inert records, before torch reads them: tensors and plain types alone.

Torch's own `weights_only` runs no code, but makes whatever is asked for: bytearrays of gigabytes,
tensors larger than the file, lists that hold each other many times. Here the zip directory and the
pickle are read first. What comes out has `StoredTensor` in place of each tensor. When all of them
fit into the file, torch may read it. Files of before torch 1.6, which have no zip, are read, too.
"""

import math
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from builder.contract.errors import CheckError
from builder.contract.opcodes import MAX_OPCODES, check_opcodes
from builder.contract.paths import open_file

if TYPE_CHECKING:
    from torch import Tensor

MAX_PICKLE = 16 << 20  # bytes of what is no tensor
_MAX_DIRECTORY = 4 << 20  # bytes of a zip's directory: some 60,000 tensors
_MAX_DEPTH = 64
_END = 22  # bytes of a zip's last record, which is preceded by these two in a large file
_LOCATOR, _LARGE_END = 20, 56
_SIZES = {  # bytes of a number, by torch's name of the storage
    **dict.fromkeys(("DoubleStorage", "LongStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("CharStorage", "ByteStorage", "BoolStorage"), 1),
}
_REFUSED = ("NEWOBJ", "NEWOBJ_EX", "INST", "OBJ", "STACK_GLOBAL", "BYTEARRAY8", "BINBYTES8")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor that is still in the file."""

    shape: tuple[int, ...]
    storage: str  # torch's name of its numbers' kind, such as FloatStorage
    bytes: int


class _Dict(dict[Any, Any]):
    """A dict as it was stored, without what else was set on it."""

    def __setstate__(self, state: object) -> None:
        """Forget the state, such as the versions of a network's modules."""


@dataclass(frozen=True, slots=True)
class _Storage:
    kind: str
    count: int


def read_inert(file: IO[bytes], what: str) -> dict[str, Any]:
    """The dict in an open file of torch.save, a StoredTensor for each tensor; or CheckError.

    All of its tensors together have no more bytes than the file.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        if file.read(4) == b"PK\x03\x04":
            values, tensors = _from_zip(file, size)
        else:
            file.seek(0)
            values, tensors = _from_stream(file, size)
        if sum(tensor.bytes for tensor in tensors) > size:
            raise ValueError("its tensors are larger than the file")
        _check_tree(values)
    except Exception:  # cut or forged files make zipfile and pickle raise nearly anything
        values = None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise CheckError(f"{what} is cut, damaged or not a checkpoint of tensors.")
    return values


def read_tensors(file: IO[bytes], what: str) -> dict[str, Any]:
    """The dict in an open file of torch.save, on the CPU; it must have passed `read_inert`."""
    import torch

    file.seek(0)
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # what torch dislikes
        raise CheckError(f"{what} is cut, damaged or not a checkpoint of tensors.") from None
    return state


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The dict in a file of torch.save, tensors and plain types only, on the CPU; or CheckError."""
    with open_file(path) as file:
        read_inert(file, str(path))
        return read_tensors(file, str(path))


def check_finite(tensors: "Mapping[str, Tensor]", what: str) -> None:
    """CheckError where a weight is no finite number."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckError(
                f"{what} is refused: its weights {name} hold values that are no finite numbers."
            )


def _from_zip(file: IO[bytes], size: int) -> tuple[object, list[StoredTensor]]:
    """What a zip holds: stored entries of one folder, data.pkl and the numbers of each storage."""
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        sizes = {entry.filename: entry.file_size for entry in entries}
        folder = entries[0].filename.partition("/")[0]
        plain = all(
            entry.compress_type == zipfile.ZIP_STORED
            and entry.compress_size == entry.file_size
            and not entry.flag_bits & 1
            and entry.filename.startswith(f"{folder}/")
            for entry in entries
        )
        whole = len(sizes) == len(entries) and min(entry.header_offset for entry in entries) == 0
        if not plain or not whole or sum(sizes.values()) > size:
            raise ValueError("its zip is not one of torch.save")
        if sizes[f"{folder}/data.pkl"] > MAX_PICKLE:
            raise ValueError("its pickle is too large")
        stored = {
            name.removeprefix(f"{folder}/data/"): count
            for name, count in sizes.items()
            if name.startswith(f"{folder}/data/")
        }
        with archive.open(f"{folder}/data.pkl") as member:
            return _load(member, stored, size)


def _check_directory(file: IO[bytes], size: int) -> None:
    """ValueError where the zip's directory is larger than any, before it is read."""
    tail = min(size, _END + _LOCATOR + _LARGE_END)
    file.seek(size - tail)
    data = file.read(tail)
    end, locator = data[-_END:], data[-_END - _LOCATOR : -_END]
    length = int.from_bytes(end[12:16], "little")
    if locator.startswith(b"PK\x06\x07"):
        large = data[: -_END - _LOCATOR]
        if not large.startswith(b"PK\x06\x06"):
            raise ValueError("its zip is not one of torch.save")
        length = int.from_bytes(large[40:48], "little")
    if not end.startswith(b"PK\x05\x06") or length > _MAX_DIRECTORY:
        raise ValueError("its zip is not one of torch.save")


def _from_stream(file: IO[bytes], size: int) -> tuple[object, list[StoredTensor]]:
    """What an old file holds: three pickles about it, the dict, and the keys of its storages."""
    for _ in range(3):
        _load(file, {}, size)
    return _load(file, None, size)


def _load(
    file: IO[bytes], stored: Mapping[str, int] | None, size: int
) -> tuple[object, list[StoredTensor]]:
    """The pickle that begins here, and its tensors; `stored`: bytes of each storage, if known."""
    start = file.tell()
    check_opcodes(file, refused=_REFUSED)
    if (stop := file.tell()) - start > MAX_PICKLE:
        raise ValueError("its pickle is too large")
    file.seek(start)
    unpickler = _Unpickler(file, stored, size)
    values = unpickler.load()
    file.seek(stop)
    return values, unpickler.tensors


class _Unpickler(pickle.Unpickler):
    """Makes plain values, dicts and StoredTensors, and nothing else."""

    def __init__(self, file: IO[bytes], stored: Mapping[str, int] | None, size: int) -> None:
        super().__init__(file, encoding="utf-8")
        self._stored, self._size = stored, size
        self._copied = 0  # pairs
        self._storages: dict[str, int] = {}  # bytes by key
        self.tensors: list[StoredTensor] = []

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return self._dict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in _SIZES:
            return name
        raise ValueError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any, /) -> _Storage:
        """A storage: its kind, key, device, count of numbers, and what of it is seen (never)."""
        word, kind, key, _device, count, *view = pid
        if word != "storage" or type(count) is not int or count < 0 or any(view):
            raise ValueError("it has an unknown object")
        length = self._storages[key] = count * _SIZES[kind]
        if self._stored is not None and self._stored[key] != length:
            raise ValueError("a storage has another size than its numbers")
        if length > self._size or sum(self._storages.values()) > self._size:
            raise ValueError("its storages are larger than the file")
        return _Storage(kind, count)

    def _dict(self, pairs: Any = ()) -> _Dict:
        self._copied += len(pairs)
        if self._copied > MAX_OPCODES:
            raise ValueError("it copies too much")
        return _Dict(pairs)

    def _tensor(
        self, storage: _Storage, offset: int, shape: Any, strides: Any, *_: object
    ) -> StoredTensor:
        if not isinstance(storage, _Storage) or not len(shape) == len(strides) <= _MAX_DEPTH:
            raise ValueError("a tensor is damaged")
        numbers = (offset, *shape, *strides)
        if not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError("a tensor is damaged")
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if count and (last >= storage.count or count > storage.count):
            raise ValueError("a tensor is larger than its storage")
        found = StoredTensor(
            shape=tuple(shape), storage=storage.kind, bytes=count * _SIZES[storage.kind]
        )
        self.tensors.append(found)
        return found


def _check_tree(values: object) -> None:
    """ValueError where lists and dicts hold each other too deeply, or the same part too often."""
    level, count = [values], 0
    for _ in range(_MAX_DEPTH):
        inner: list[object] = []
        for part in level:
            if isinstance(part, dict):
                inner += [*part, *part.values()]
            elif isinstance(part, list | tuple):
                inner += part
            count += 1
            if len(inner) + count > 2 * MAX_OPCODES:
                raise ValueError("it has too many values")
        if not (level := inner):
            return
    raise ValueError("it is nested too deeply")
