"""A pickle of `tfutil.Network` objects as inert records: nothing that a stranger wrote is run.

A pickle is a program. This one can name nothing but the stand-ins of `_ALLOWED`: no module is
imported for it, and numpy gets an array only as checked dtype, shape and bytes.
"""

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from reprlib import repr as brief  # a stranger's value may be megabytes long
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from builder.contract import CheckError
from builder.contract.opcodes import check_opcodes
from builder.generators.pggan_format import MAX_BYTES

_DTYPES = ("f2", "f4", "f8", "i4", "i8")  # never "O": an object array can hold anything


class Network:
    """A published `tfutil.Network`: `state` as it was stored, nothing else."""

    state: object = None

    def __setstate__(self, state: object) -> None:
        """Keep the state; without this method a pickle could set any attribute."""
        self.state = state


class DType:
    """A numpy.dtype of plain numbers, by its code such as "f4" and its byte order."""

    code: object = None
    order: object = "="

    def __init__(self, code: object, _align: object = False, _copy: object = True) -> None:
        """Refuse every code but those of plain numbers."""
        if code not in _DTYPES:
            raise CheckError(f"The pickle holds an array of dtype {brief(code)}: refused.")
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Keep the byte order; refuse what would make it a structure."""
        _version, order, subarray, names, fields, *_ = state
        if order not in ("<", ">", "=", "|") or (subarray, names, fields) != (None, None, None):
            raise CheckError("The pickle holds an array whose dtype is not a plain number's.")
        self.order = order


class Array:
    """A numpy.ndarray or numpy scalar as it was stored: not trusted before `numbers`."""

    shape: object = None
    dtype: object = None
    fortran: object = False
    data: object = None

    def __setstate__(self, state: Any) -> None:
        """Keep numpy's own state: version, shape, dtype, Fortran order, bytes."""
        _version, self.shape, self.dtype, self.fortran, self.data = state

    def numbers(self) -> npt.NDArray[Any]:
        """The numpy array; CheckError unless shape and dtype account for every byte."""
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data  # Python 2
        if not isinstance(self.dtype, DType) or not isinstance(data, bytes | bytearray):
            raise CheckError("The pickle holds an array that is not one of plain numbers.")
        shape = self.shape
        if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
            raise CheckError(f"The pickle holds an array of shape {brief(shape)}.")
        if self.dtype.code not in _DTYPES:  # it was made without a code
            raise CheckError(f"The pickle holds an array of dtype {brief(self.dtype.code)}.")
        dtype = np.dtype(f"{self.dtype.order}{self.dtype.code}")
        if len(shape) > 4 or len(data) != math.prod(shape) * dtype.itemsize:
            raise CheckError(
                f"The pickle holds an array of shape {brief(shape)} in {len(data)} bytes."
            )
        return np.frombuffer(data, dtype).reshape(shape, order="F" if self.fortran else "C")


class _Function:
    """A function of this file under a name of numpy's: a pickle can call but not change it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call

    def __call__(self, *args: object) -> object:
        return self._call(*args)

    def __setstate__(self, state: object) -> None:
        raise CheckError("The pickle tries to change a function: refused.")


def _array(shape: object, dtype: object, data: object, order: object = "C") -> Array:
    array = Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


_RECONSTRUCT = _Function(lambda _type, _shape, _code: Array())
_SCALAR = _Function(lambda dtype, data: _array((), dtype, data))
_FROMBUFFER = _Function(lambda data, dtype, shape, order: _array(shape, dtype, data, order))
_ALLOWED: dict[tuple[str, str], object] = {
    ("tfutil", "Network"): Network,
    ("collections", "OrderedDict"): dict,
    ("numpy", "dtype"): DType,
    ("numpy", "ndarray"): Array,
    # Before numpy 2, and since; _frombuffer is protocol 5's.
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy.core.numeric", "_frombuffer"): _FROMBUFFER,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.numeric", "_frombuffer"): _FROMBUFFER,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(file, encoding="latin1")
        self._left = size  # bytes of text that it may encode: all of the file, once

    def _latin1(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise CheckError("The pickle encodes something other than bytes: refused.")
        self._left -= len(text)
        if self._left < 0:
            raise CheckError("The pickle encodes the same bytes again and again: refused.")
        return text.encode("latin1")

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 spells bytes
            return _Function(self._latin1)
        if (module, name) not in _ALLOWED:
            raise CheckError(
                f"The pickle asks for {f'{module}.{name}'[:200]!r}, which no published network "
                "needs: refused, and nothing in it was run."
            )
        return _ALLOWED[module, name]


def load_pickle(path: Path) -> object:
    """The pickle's content: plain values, Network and Array; CheckError says why it is refused.

    Python-2 pickles are read too; their strings become str by latin-1.
    """
    if path.exists() and not path.is_file():
        raise CheckError("This is not a regular file: name a published .pkl.")
    try:
        with path.open("rb") as file:
            if (size := path.stat().st_size) > MAX_BYTES:
                raise CheckError(f"The pickle has {size} bytes, more than any published network.")
            check_opcodes(file, refused=("BINPERSID",))
            file.seek(0)
            return _Unpickler(file, size).load()
    except CheckError:
        raise
    except OSError as error:
        raise CheckError(f"The pickle cannot be read: {error.strerror}.") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise CheckError(f"The pickle is cut off or damaged ({brief(str(error))}).") from None
