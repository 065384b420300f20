"""The byte layout of a shard: ustar, fixed header fields, `KEY.jpg` then `KEY.json`, nothing else.

Every header is the one this module would write for that name and size, so equal samples give equal
bytes, and a reader refuses anything it would not have written itself: links, other members, owners,
times, long names.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from builder.contract.errors import CheckError, printable
from builder.contract.names import KEY
from builder.contract.paths import open_file
from builder.contract.record import as_record, parse_json
from builder.contract.shard import MAX_JSON_BYTES

BLOCK = 512
END = bytes(2 * BLOCK)
# mode, uid and gid; size and mtime; the checksum counts as eight spaces while it is computed.
_FIXED = b"0000644\0" + b"0000000\0" * 2
_TIME = b"\0" + b"0" * 11 + b"\0"
_KIND = b"0" + bytes(100) + b"ustar\x0000" + bytes(247)
_FIXED_SUM = sum(_FIXED) + sum(_TIME) + sum(_KIND) + 8 * 0x20
_ZEROS = bytes(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One sample in a tar: `offset` is the first byte of the image's data."""

    key: str
    offset: int
    image: bytes
    json: bytes

    def drawn(self) -> tuple[str, int]:
        """The target and the draw number in the JSON member; CheckError where it has none."""
        asked = self._asked()
        return asked.target, asked.draw

    def labels(self) -> tuple[int, ...]:
        """The labels in the JSON member, in their order; CheckError where it has none."""
        return tuple(self._asked().labels.values())

    def _asked(self) -> "_Asked":
        what = f"The member {self.key}.json"
        return as_record(parse_json(self.json, what), _Asked, what, exact=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is read of a JSON member."""

    target: str
    draw: int
    labels: dict[str, Literal[1, 0, -1]]


def header(name: str, size: int) -> bytes:
    """The 512-byte ustar header of a regular file: mode 0644, owner 0, time 0."""
    word, octal = name.encode("ascii"), b"%011o" % size
    checksum = sum(word) + sum(octal) + _FIXED_SUM
    start = word + _ZEROS[len(word) :] + _FIXED + octal + _TIME
    return b"%b%06o\0 %b" % (start, checksum, _KIND)


def padding(size: int) -> bytes:
    """The zeros that fill a member of `size` bytes to a whole block."""
    return bytes(-size % BLOCK)


def idx_line(member_name: str, codec: str, offset: int, size: int, json_size: int) -> str:
    """One sample's line of DALI's wds2idx format: extension, offset, size, name of each member."""
    json_offset = offset + size + len(padding(size)) + BLOCK
    return (
        f"{codec} {offset} {size} {member_name}.{codec} "
        f"json {json_offset} {json_size} {member_name}.json"
    )


def idx_text(lines: list[str]) -> bytes:
    """A whole `.idx` file."""
    return "\n".join([f"v1.2 {len(lines)}", *lines, ""]).encode()


def walk(path: Path, codec: str, max_image_bytes: int) -> Iterator[Member]:
    """The samples of a shard in order; CheckError at the first byte that does not belong."""
    with open_file(path) as file:
        while True:
            if (block := file.read(BLOCK)) == bytes(BLOCK):
                if file.read(BLOCK + 1) != bytes(BLOCK):
                    raise CheckError(f"{path.name} does not end after its last sample.")
                return
            key, image = _member(path, file, block, codec, max_image_bytes)
            offset = file.tell() - len(image) - len(padding(len(image)))
            json_key, text = _member(path, file, file.read(BLOCK), "json", MAX_JSON_BYTES)
            if json_key != key:
                raise CheckError(f"{path.name} has {json_key}.json after {key}.{codec}.")
            yield Member(key=key, offset=offset, image=image, json=text)


def _member(
    path: Path, file: BinaryIO, block: bytes, extension: str, most: int
) -> tuple[str, bytes]:
    if len(block) < BLOCK:
        raise CheckError(f"{path.name} is truncated.")
    try:
        name = block[:100].rstrip(b"\0").decode("ascii")
        size = int(struct.unpack_from("11s", block, 124)[0], 8)
    except ValueError:
        raise CheckError(f"{path.name} is not a shard: unreadable member header.") from None
    key = name.removesuffix(f".{extension}")
    if key == name or not KEY.fullmatch(key):
        raise CheckError(
            f"{path.name} holds {printable(repr(name))} where KEY.{extension} must be."
        )
    if not 0 < size <= most:
        raise CheckError(f"{path.name}: {name} has {size} bytes; at most {most} are possible.")
    if header(name, size) != block:
        raise CheckError(
            f"{path.name}: {name} is not a plain file with fixed owner, mode and time."
        )
    data = file.read(size)
    if len(data) < size or file.read(-size % BLOCK) != padding(size):
        raise CheckError(f"{path.name} is truncated inside {name}.")
    return key, data
