import io
import pickle

import pytest

from builder.contract import CheckError
from builder.contract.opcodes import check_opcodes


def test_a_plain_pickle_passes_to_its_end() -> None:
    file = io.BytesIO(pickle.dumps({"a": [1, 2.5, None]}, 2) + b"more")
    check_opcodes(file)
    assert file.read() == b"more"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x82\x01.", "the opcode EXT1"),
        (b"Pname\n.", "the opcode PERSID"),
        (b"\x8b\x01\x00\x00\x00\x05.", "the opcode LONG4"),
        (b"Nr\x00\x00\x00\x7f.", "numbers its objects far too high"),
        (b"N0" * 600_000 + b"N.", "more than 1,000,000 opcodes"),
        (b"NQ.", "the opcode BINPERSID"),
    ],
)
def test_what_asks_for_too_much_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(CheckError, match=said):
        check_opcodes(io.BytesIO(data), refused=("BINPERSID",))
