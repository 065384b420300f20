"""Files of torch.save: honest ones of both formats, and ones of some KB that ask for gigabytes."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from builder.contract import CheckError
from builder.contract.checkpoint import StoredTensor, check_finite, load_checkpoint, read_inert

Bearable = Callable[[], AbstractContextManager[None]]


def state() -> dict[str, Any]:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(2, 1, 8, 8)).square().sum().backward()
    optimizer.step()
    tensors = {
        "half": torch.ones(3, dtype=torch.bfloat16),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "nothing": torch.zeros(0, 5),
    }
    return {
        "model": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "notes": [{"epoch": 1, "loss": 0.5, "auc": (None, 0.75), "words": "π"}],
        "unread": {3: "cut", -7: "damaged"},
        "large": 2**62,
        **tensors,
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_an_honest_checkpoint_comes_back(tmp_path: Path, zipped: bool) -> None:
    path, honest = tmp_path / "x.pt", state()
    torch.save(honest, path, _use_new_zipfile_serialization=zipped)
    found = load_checkpoint(path)
    assert found["notes"] == honest["notes"]
    assert found["unread"] == honest["unread"]
    assert all(torch.equal(found["model"][n], t) for n, t in honest["model"].items())
    assert torch.equal(found["turned"], honest["turned"])
    with path.open("rb") as file:
        inert = read_inert(file, "x")
    assert inert["half"] == StoredTensor(shape=(3,), storage="BFloat16Storage", bytes=6)
    assert inert["turned"].shape == (3, 2)
    assert inert["optimizer"]["param_groups"] == honest["optimizer"]["param_groups"]


def zipped(pkl: bytes, numbers: bytes = b"", compression: int = zipfile.ZIP_STORED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, part in (("data.pkl", pkl), ("byteorder", b"little"), ("version", b"3\n")):
            archive.writestr(f"x/{name}", part)
        archive.writestr("x/data/0", numbers)
    return data.getvalue()


def tensor(shape: tuple[int, ...], strides: tuple[int, ...], count: int) -> bytes:
    """A pickle {"a": tensor} over a storage of `count` floats."""

    class Storage:
        pass

    class Tensor:
        def __reduce__(self) -> Any:
            rebuild = torch._utils._rebuild_tensor_v2  # type: ignore[attr-defined]
            return rebuild, (Storage(), 0, shape, strides, False, {})

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> Any:
            found = ("storage", torch.FloatStorage, "0", "cpu", count)
            return found if isinstance(obj, Storage) else None

    data = io.BytesIO()
    Pickler(data, 2).dump({"a": Tensor()})
    return data.getvalue()


def call(function: bytes, argument: bytes) -> bytes:
    """A pickle {"a": function(argument)}."""
    return b"\x80\x02}X\x01\x00\x00\x00ac" + function + b"\n" + argument + b"\x85Rs."


def shared(depth: int) -> bytes:
    nested: object = "end"
    for _ in range(depth):
        nested = [nested, nested]
    return pickle.dumps({"identity": nested}, 2)


def many(count: int) -> bytes:
    return b"\x80\x02}X\x01\x00\x00\x00a](" + b"]" * count + b"es."


FOUR_GB = b"\x8a\x05" + struct.pack("<q", 4 << 30)[:5]
FORGED: dict[str, Callable[[], bytes]] = {
    "a bytearray of 4 GiB": lambda: zipped(call(b"builtins\nbytearray", FOUR_GB)),
    "lists that share lists": lambda: zipped(shared(34)),
    "lists in lists": lambda: zipped(b"\x80\x02}X\x01\x00\x00\x00a" + b"(" * 9999 + b"l" * 9999),
    "a million lists": lambda: zipped(many(1_010_000)),
    "a tensor larger than its storage": lambda: zipped(tensor((1 << 30,), (1,), 4), bytes(16)),
    "a tensor of one number": lambda: zipped(tensor((1 << 30,), (0,), 4), bytes(16)),
    "a storage larger than its entry": lambda: zipped(tensor((4,), (1,), 1 << 30), bytes(16)),
    "deflated numbers": lambda: zipped(
        tensor((16 << 20,), (1,), 16 << 20), bytes(64 << 20), zipfile.ZIP_DEFLATED
    ),
    "a negative shape": lambda: zipped(tensor((-1, -4), (1, 1), 4), bytes(16)),
    "a memo number of millions": lambda: zipped(b"\x80\x02}r\xff\xff\xff\x7f."),
    "code": lambda: zipped(call(b"os\nsystem", b"X\x04\x00\x00\x00true")),
    "an old file with code": lambda: call(b"os\nsystem", b"X\x04\x00\x00\x00true"),
    "no dict": lambda: zipped(pickle.dumps([1], 2)),
    "numbers for names": lambda: zipped(pickle.dumps({1: 2}, 2)),
    "no pickle": lambda: zipped(b""),
    "a directory of gigabytes": lambda: b"PK\x03\x04" + bytes(99) + b"PK\x05\x06" + b"\x7f" * 18,
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("case", FORGED)
def test_what_asks_for_more_than_it_has_is_refused(
    case: str, tmp_path: Path, bearable: Bearable
) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(FORGED[case]())
    assert path.stat().st_size < 3 << 20
    with bearable(), pytest.raises(CheckError, match=r"last\.pt is cut, damaged or not a checkpo"):
        load_checkpoint(path)


def test_a_tensor_within_its_storage_passes(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(zipped(tensor((2, 2), (2, 1), 4), struct.pack("<4f", 1, 2, 3, 4)))
    assert load_checkpoint(path)["a"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("old", [True, False])
def test_every_cut_is_refused(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "last.pt"
    torch.save(state(), path, _use_new_zipfile_serialization=not old)
    data = path.read_bytes()
    for end in range(0, len(data) - 1, 97):
        path.write_bytes(data[:end])
        with pytest.raises(CheckError, match="cut, damaged"):
            load_checkpoint(path)


def test_weights_that_are_no_numbers_are_refused() -> None:
    good = {"a": torch.zeros(2), "b": torch.tensor(3)}
    check_finite(good, "x")
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(CheckError, match="x is refused: its weights c hold values that are no"):
            check_finite(good | {"c": torch.tensor([0.0, bad])}, "x")
