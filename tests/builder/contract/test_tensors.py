"""Headers of .safetensors files that say something else than the file holds."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from builder.contract import CheckError
from builder.contract.tensors import Entry, read_tensors_header


def test_the_library_writes_such_headers(tmp_path: Path) -> None:
    tensors: dict[str, Any] = {
        "a": np.zeros((2, 3), np.float32),
        "b": np.ones((), np.int64),
        "c": np.zeros((0, 4), np.uint8),
        "d": np.zeros(5, np.float16),
    }
    path = tmp_path / "x.safetensors"
    path.write_bytes(save(tensors, metadata={"header": "{}"}))
    found = read_tensors_header(path)
    assert found.metadata == {"header": "{}"}
    assert {name: entry.shape for name, entry in found.tensors.items()} == {
        name: tensor.shape for name, tensor in tensors.items()
    }
    assert isinstance(found.tensors["a"], Entry)
    assert found.tensors["a"].dtype == "F32"


def file(header: Any, size: int, *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(size)


def entry(start: int, stop: int, *shape: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


FORGED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "a long header": lambda: file(b"{}", 0, length=1 << 40),
    "a hundred megabytes of header": lambda: file(b" " * (100 << 20), 0),
    "a million tensors": lambda: file(b"{" + b'"a":{},' * 1_000_000 + b"}", 0),
    "nested lists": lambda: file(b"[" * 9_999, 0),
    "nested metadata": lambda: file({"__metadata__": {"header": [[1]]}}, 0),
    "a list": lambda: file([], 0),
    "twice": lambda: file(b'{"a":1,"a":1}', 0),
    "bytes left over": lambda: file({"a": entry(0, 4, 1)}, 8),
    "cut": lambda: file({"a": entry(0, 8, 2)}, 4),
    "a gap": lambda: file({"a": entry(0, 4, 1), "b": entry(8, 12, 1)}, 12),
    "one over another": lambda: file({"a": entry(0, 4, 1), "b": entry(0, 4, 1)}, 4),
    "a shape of gigabytes": lambda: file({"a": entry(0, 4, 1 << 30)}, 4),
    "a negative shape": lambda: file({"a": entry(0, 4, -1, -1)}, 4),
    "huge numbers": lambda: file(b'{"a":{"dtype":"F32","shape":[1' + b"0" * 400 + b"]}}", 4),
    "another kind": lambda: file({"a": entry(0, 4, 1, dtype="C64")}, 4),
}


@pytest.mark.parametrize("case", FORGED)
def test_another_header_is_refused(
    case: str, tmp_path: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(FORGED[case]())
    with bearable(), pytest.raises(CheckError, match="The header of"):
        read_tensors_header(path)
