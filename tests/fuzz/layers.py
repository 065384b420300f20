"""Parts of formats that are changed by themselves: lengths and checksums agree afterwards."""

import gzip
import io
import json
import struct
import zipfile
import zlib

from mutation import Layer

from builder.contract.tar import BLOCK, header, padding

_PNG = 8  # bytes of its signature


# --- safetensors: a length, a header of JSON, the tensors ----------------------------------------


def _tensors_header(data: bytes) -> bytes:
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def _with_tensors_header(data: bytes, part: bytes) -> bytes:
    rest = data[8 + int.from_bytes(data[:8], "little") :]
    return len(part).to_bytes(8, "little") + part + rest


def inner_json(key: str) -> Layer:
    """The JSON text under a key of a safetensors file's own metadata."""

    def take(data: bytes) -> bytes:
        return str(json.loads(_tensors_header(data))["__metadata__"][key]).encode()

    def put(data: bytes, part: bytes) -> bytes:
        raw = json.loads(_tensors_header(data))
        raw["__metadata__"][key] = part.decode(errors="replace")
        return _with_tensors_header(data, json.dumps(raw).encode())

    return Layer(take, put)


TENSORS = Layer(_tensors_header, _with_tensors_header)


# --- files of torch.save: a zip of stored entries ------------------------------------------------


def _pickle(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def _with_pickle(data: bytes, part: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(sink, "w") as new:
        for name in old.namelist():
            new.writestr(name, part if name.endswith("data.pkl") else old.read(name))
    return sink.getvalue()


CHECKPOINT = Layer(_pickle, _with_pickle)


# --- PNG: chunks with checksums ------------------------------------------------------------------


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], _PNG
    while place + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        found.append((kind, data[place + 8 : place + 8 + size]))
        place += 12 + size
    return found


def _png_header(data: bytes) -> bytes:
    return _chunks(data)[0][1]


def _with_png_header(data: bytes, part: bytes) -> bytes:
    _, *rest = _chunks(data)
    return data[:_PNG] + b"".join(png_chunk(*chunk) for chunk in ((b"IHDR", part), *rest))


def _pixels(data: bytes) -> bytes:
    return zlib.decompress(b"".join(part for kind, part in _chunks(data) if kind == b"IDAT"))


def _with_pixels(data: bytes, part: bytes) -> bytes:
    first, *rest = (chunk for chunk in _chunks(data) if chunk[0] != b"IDAT")
    parts = (first, (b"IDAT", zlib.compress(part)), *rest)
    return data[:_PNG] + b"".join(png_chunk(*chunk) for chunk in parts)


def _body(data: bytes) -> bytes:
    return b"".join(kind + struct.pack(">I", len(part)) + part for kind, part in _chunks(data))


def _with_body(data: bytes, part: bytes) -> bytes:
    """Chunks in another order, of other kinds and lengths, all with right checksums."""
    made, place = data[:_PNG], 0
    while place + 8 <= len(part):
        kind, size = struct.unpack_from(">4sI", part, place)
        made += png_chunk(kind, part[place + 8 : place + 8 + size])
        place += 8 + min(size, len(part))
    return made


PNG = (
    Layer(_png_header, _with_png_header),
    Layer(_pixels, _with_pixels),
    Layer(_body, _with_body),
)


# --- parquet: the footer, behind all pages -------------------------------------------------------


def _footer(data: bytes) -> bytes:
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


def _with_footer(data: bytes, part: bytes) -> bytes:
    pages = data[: -8 - int.from_bytes(data[-8:-4], "little")]
    return pages + part + len(part).to_bytes(4, "little") + b"PAR1"


PARQUET = Layer(_footer, _with_footer)


# --- shards: the first JSON member, the first image ----------------------------------------------


def _member(number: int) -> Layer:
    def bounds(data: bytes) -> tuple[int, int, str]:
        place = 0
        for _ in range(number):
            place += BLOCK + _blocks(int(data[place + 124 : place + 135], 8))
        name = data[place : place + 100].rstrip(b"\0").decode()
        return place, int(data[place + 124 : place + 135], 8), name

    def take(data: bytes) -> bytes:
        place, size, _ = bounds(data)
        return data[place + BLOCK : place + BLOCK + size]

    def put(data: bytes, part: bytes) -> bytes:
        place, size, name = bounds(data)
        rest = data[place + BLOCK + _blocks(size) :]
        return data[:place] + header(name, len(part)) + part + padding(len(part)) + rest

    return Layer(take, put)


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


SHARD = (_member(0), _member(1))


# --- tables --------------------------------------------------------------------------------------

GZIP = Layer(gzip.decompress, lambda _, part: gzip.compress(part, 1))
