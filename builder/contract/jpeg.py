"""Whether the pixels of a JPEG are whole, which most decoders do not say."""

import re

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
# A marker that ends a scan or begins a segment (ITU-T T.81, B.1.1): no stuffed byte, no restart.
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
_SCAN, _END = 0xDA, 0xD9
_SEQUENTIAL = (0xC0, 0xC1)
_METADATA = (*range(0xE0, 0xF0), 0xFE)


def check_jpeg(data: bytes) -> None:
    """ValueError, in the decoder's words, for a JPEG that its decoder fills up or guesses.

    What does not change the pixels passes: other bytes between segments or after the end, a scan
    filled up with zeros, odd metadata. So does what this decoder cannot read at all, sound or not:
    the caller's reads it, or says why it does not.
    """
    if not _complaint(data):
        return
    bare = _bare(data)  # again, as only the first complaint is told
    if (words := _complaint(bare)) and not _complaint(bare, strict=False):
        raise ValueError(words)


def jpeg_pixels(data: bytes) -> int:
    """How many pixels its header says; 0 where the decoder cannot read that."""
    import simplejpeg

    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return 0
    return int(height * width)


def _complaint(data: bytes, *, strict: bool = True) -> str:
    """What the decoder says of it; "" where nothing.

    In full size: a smaller one is written beyond its end where the JPEG is a lossless one.
    """
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data, "GRAY", strict=strict)
    except ValueError as error:
        return str(error)
    return ""


def _bare(data: bytes) -> bytes:
    """The JPEG without metadata, without what stands between segments, and with its end.

    After the first scan nothing is left out but zeros: it may be a scan whose marker is damaged.
    """
    parts, place = [_SOI], len(_SOI)
    sequential = scanned = False
    while found := _MARKER.search(data, place):
        kind, begin, between = found[1][0], found.end(), data[place : found.start()]
        if scanned and between.strip(b"\0"):
            parts.append(between)
        if kind == _END:
            break
        place = begin + max(2, int.from_bytes(data[begin : begin + 2]))
        segment = data[begin:place]
        sequential |= kind in _SEQUENTIAL
        if kind == _SCAN:
            scanned = True
            if sequential:
                segment = segment[:-3] + b"\0\x3f\0"  # some encoders write others, unread
            end = _MARKER.search(data, place)
            codes = data[place : end.start() if end else len(data)].rstrip(b"\0")
            place += len(codes)
            segment += codes + b"\0" * codes.endswith(b"\xff")  # a stuffed byte is no filling
        if kind not in _METADATA:
            parts.append(bytes((0xFF, kind)) + segment)
    return b"".join((*parts, _EOI))
