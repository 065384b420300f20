"""Hostile, damaged and old pickles: refused by name, and nothing in them is run."""

import builtins
import copyreg
import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.contract import CheckError
from builder.generators.restricted_pickle import _ALLOWED, Array, Network, load_pickle

FOUR = b"\x80\x04"


class Calls:
    """Pickles as a call of `function(*args)`."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.reduced = (function, args)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def load(tmp_path: Path, data: bytes) -> Any:
    path = tmp_path / "network-final.pkl"
    path.write_bytes(data)
    return load_pickle(path)


def refusal(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(CheckError) as caught:
        load(tmp_path, data)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 500
    return sentence


def stack_global(module: str, name: str) -> bytes:
    parts = (b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return b"".join(parts) + b"\x93"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, builtins.eval, builtins.exec, os.mkdir])
def test_a_call_is_refused_by_name_and_not_made(
    tmp_path: Path,
    function: Callable[..., object],
    protocol: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    argument = "ran" if function is os.mkdir else "open('ran', 'w')"
    if function is os.system:
        argument = "touch ran"
    data = pickle.dumps((1, 2, {"a": [Calls(function, argument)]}), protocol)
    module = {"builtins": "__builtin__"}.get(function.__module__, function.__module__)
    asked = f"{function.__module__ if protocol >= 3 else module}.{function.__name__}"
    assert repr(asked) in refusal(tmp_path, data)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("posix", "system"),
        ("numpy", "load"),
        ("numpy", "fromfile"),
        ("numpy", "memmap"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy._core.multiarray", "fromstring"),
        ("numpy.core.multiarray", "_reconstruct.__call__"),
        ("numpy.testing._private.utils", "runstring"),
        ("builtins", "getattr"),
        ("operator", "attrgetter"),
        ("tfutil", "Network.__init__.__globals__"),
        ("tfutil", "os.system"),
        ("dnnlib.tflib.network", "Network"),
        ("network", "Network"),
        ("collections", "OrderedDict.fromkeys"),
        ("_codecs", "decode"),
        ("torch", "load"),
        ("copyreg", "_reconstructor"),
    ],
)
def test_a_global_is_refused_by_its_full_name(tmp_path: Path, module: str, name: str) -> None:
    asked = repr(f"{module}.{name}")
    assert asked in refusal(tmp_path, FOUR + stack_global(module, name) + b".")
    assert asked in refusal(tmp_path, f"c{module}\n{name}\n.".encode())
    # Hidden in the memo, and fetched from there on top of an honest value.
    data = FOUR + stack_global(module, name) + b"\x940N}(K\x01h\x00u."
    assert asked in refusal(tmp_path, data)
    assert asked in refusal(tmp_path, f"(i{module}\n{name}\n.".encode())


def network_with(state_pickle: bytes) -> bytes:
    return FOUR + stack_global("tfutil", "Network") + b")\x81" + state_pickle + b"b."


def test_a_network_is_an_inert_record(tmp_path: Path) -> None:
    evil = b"}(" + b"\x8c\x09__class__" + stack_global("collections", "OrderedDict") + b"u"
    loaded = load(tmp_path, network_with(evil))
    assert type(loaded) is Network
    assert loaded.state == {"__class__": dict}
    # State and slots at once: what would set any attribute of an ordinary object.
    slots = load(tmp_path, network_with(b"N" + evil + b"\x86"))
    assert type(slots) is Network
    assert slots.state == (None, {"__class__": dict})
    inner = FOUR + stack_global("tfutil", "Network") + b")\x81" + stack_global("posix", "system")
    assert "'posix.system'" in refusal(tmp_path, inner + b"b.")


@pytest.mark.parametrize(("module", "name"), sorted(_ALLOWED))
def test_nothing_that_a_pickle_can_name_can_be_changed_by_it(
    tmp_path: Path, module: str, name: str
) -> None:
    before = vars(Array).copy(), vars(Network).copy(), dict(_ALLOWED)
    attribute = b"}(\x8c\x07numbersK\x01\x8c\x0c__setstate__K\x01u"
    for state in (attribute, b"N" + attribute + b"\x86"):
        refusal(tmp_path, FOUR + stack_global(module, name) + state + b"b.")
    assert (vars(Array), vars(Network), _ALLOWED) == before


@pytest.mark.parametrize(
    "array",
    [
        np.array([os.system, "x"], dtype=object),
        np.zeros(2, dtype=[("a", "f4"), ("b", "O")]),
        np.zeros(2, dtype="U3"),
        np.zeros(2, dtype="M8[s]"),
        np.zeros(2, dtype="V8"),
    ],
    ids=lambda array: str(array.dtype),
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_of_anything_but_numbers_are_refused(
    tmp_path: Path, array: np.ndarray[Any, Any], protocol: int
) -> None:
    said = refusal(tmp_path, pickle.dumps(array, protocol))
    assert repr(array.dtype.str[1:3])[:-1] in said or "posix.system" in said


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_honest_values_come_through(tmp_path: Path, protocol: int) -> None:
    arrays = [
        np.arange(6, dtype="f4").reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)),
        np.arange(6, dtype="f8")[::2],
        np.ones((2, 1), "f2"),
        np.float32(1.5),
    ]
    values = OrderedDict(arrays=arrays, text="µ", flag=True, number=-1.5, raw=(None, 70000))
    loaded = load(tmp_path, pickle.dumps(values, protocol))
    assert type(loaded) is dict
    for made, array in zip(loaded.pop("arrays"), arrays, strict=True):
        np.testing.assert_array_equal(made.numbers(), array)
        assert made.numbers().dtype == array.dtype
        assert made.numbers().shape == array.shape
    assert loaded == {"text": "µ", "flag": True, "number": -1.5, "raw": (None, 70000)}


def test_python_2_arrays_come_through(tmp_path: Path) -> None:
    numbers = np.array([1e-5, -3.75], "<f4")
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x08" + numbers.tobytes() + b"tb."
    )
    assert max(numbers.tobytes()) > 127
    np.testing.assert_array_equal(load(tmp_path, data).numbers(), numbers)


def test_an_array_whose_bytes_do_not_fit_is_refused(tmp_path: Path) -> None:
    good = pickle.dumps(np.zeros(4, "f4"), 4)
    assert load(tmp_path, good).numbers().shape == (4,)
    lies = load(tmp_path, good.replace(b"K\x04\x85", b"K\x05\x85"))
    with pytest.raises(CheckError, match=r"shape \(5,\) in 16 bytes"):
        lies.numbers()
    never_set = load(tmp_path, FOUR + stack_global("numpy", "ndarray") + b")\x81.")
    with pytest.raises(CheckError, match="not one of plain numbers"):
        never_set.numbers()


@pytest.mark.parametrize("code", [5, 300, 70000])
def test_the_extension_registry_is_refused(tmp_path: Path, code: int) -> None:
    copyreg.add_extension("posix", "system", code)
    try:
        data = pickle.dumps(os.system, 2)
        assert pickle.loads(data) is os.system  # it is in copyreg's cache now
        assert "opcode EXT" in refusal(tmp_path, data)
    finally:
        copyreg.remove_extension("posix", "system", code)


def test_objects_from_outside_and_greedy_numbers_are_refused(tmp_path: Path) -> None:
    assert "PERSID" in refusal(tmp_path, b"Psome id\n.")
    assert "BINPERSID" in refusal(tmp_path, FOUR + b"K\x01Q.")
    assert "NEXT_BUFFER" in refusal(tmp_path, b"\x80\x05\x97.")
    assert "LONG4" in refusal(tmp_path, pickle.dumps(1 << 10000))
    assert "far too high" in refusal(tmp_path, b"\x80\x02]r\xff\xff\xff\x7f.")  # 34 GB of memo
    assert "far too high" in refusal(tmp_path, b"\x80\x02]p2147483647\n.")
    assert "damaged" in refusal(tmp_path, FOUR + b"\x8e" + (1 << 60).to_bytes(8, "little") + b".")


def test_a_pickle_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pickle.dump({"variables": [("lod", np.float32(0)), ("w", np.ones(99, "f4"))]}, buffer, 4)
    data = buffer.getvalue()
    assert set(load(tmp_path, data)) == {"variables"}
    for length in [*range(0, len(data), 37), len(data) - 1]:
        assert "cut off or damaged" in refusal(tmp_path, data[:length])


def test_no_limit_on_size_is_worked_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.generators.restricted_pickle.MAX_BYTES", 10)
    assert "more than any" in refusal(tmp_path, pickle.dumps("eleven characters"))


def test_a_dtype_that_was_made_without_a_code_is_refused(tmp_path: Path) -> None:
    """NEWOBJ makes an object and never calls its __init__."""
    dtype = b"cnumpy\ndtype\n)\x81"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(NNNtR"
    data = b"\x80\x02" + array + b"(K\x01(K\x01t" + dtype + b"\x89U\x04\0\0\0\0tb."
    array_of_none = load(tmp_path, data)
    with pytest.raises(CheckError, match="an array of dtype None"):
        array_of_none.numbers()


def test_a_text_that_is_encoded_again_and_again_is_refused(
    tmp_path: Path, bearable: Callable[[], AbstractContextManager[None]]
) -> None:
    text = b"X" + (1 << 20).to_bytes(4, "little") + b"x" * (1 << 20) + b"q\x00"
    once = b"c_codecs\nencode\nq\x01(h\x00U\x06latin1tR"
    again = b"h\x01(h\x00U\x06latin1tR" * 2000
    with bearable():
        said = refusal(tmp_path, b"\x80\x02(" + text + once + again + b"l.")
    assert "the same bytes again and again" in said
