import pytest

from builder.contract.thrift import read_struct

# Field 1: -3; 2: true; 3: [1, 2]; 4: a text; 5: {1: 7}; 40: 8.0 and 42: a byte, which are skipped.
GOOD = bytes([0x15, 5, 0x11, 0x19, 0x25, 2, 4, 0x18, 2, 65, 66, 0x1C, 0x15, 14, 0])
GOOD += bytes([7, 80, *bytes(8), 0x23, 9, 0])


def test_a_struct_is_its_fields_by_number() -> None:
    found = {1: -3, 2: True, 3: [1, 2], 4: None, 5: {1: 7}, 40: None, 42: None}
    assert read_struct(b"xx" + GOOD + b"x", 2) == (2 + len(GOOD), found)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:5],
        b"\x15" + b"\xff" * 20,  # a number without an end
        b"\x19\xf5\xff\xff\xff\xff\x07",  # a list of billions
        b"\x1c" * 2000,  # structs in each other
        b"\x19" * 2000,  # lists in each other
        b"\x1d\x00",  # a kind that there is not
    ],
)
def test_damage_raises_what_its_reader_expects(data: bytes) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        read_struct(data, 0)
