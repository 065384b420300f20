"""A DICOM file into 8-bit greys, as its header says that they are shown (DICOM PS3.3, C.11).

stored value → modality LUT or rescale → VOI LUT or window → 8 bits, inverted for MONOCHROME1. All
of it is one table over the values that can be stored. Only pixels and what shows them are read.
"""

from collections.abc import MutableSequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from builder.contract.dicom_pixels import decode
from builder.contract.errors import printable
from builder.contract.grey import MAX_PIXELS, TOO_MANY, check_depth
from builder.contract.png import Bytes

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

Window = Literal["dicom", "full", "percentile"]
Stored = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]  # one for each value that can be stored, in their order

SUFFIXES = (".dcm", ".dicom")
_OTHERS = (b"\x89PNG", b"\xff\xd8", b"II*\0", b"MM\0*")  # pictures with a wrong name
_GREYS = ("MONOCHROME1", "MONOCHROME2")
_OTHERWISE = 64 << 20  # bytes of all that is no pixel
_TAILS = 0.005  # of the pixels, at either end, that the window "percentile" leaves out
_PIXELS = [
    *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
]
_MODALITY = ["ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"]
_VOI = ["VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"]


def is_dicom(file: Path) -> bool:
    """Whether it is to be read as DICOM: by its preamble, or by its suffix if it has none."""
    with file.open("rb") as opened:
        start = opened.read(132)
    if start[128:] == b"DICM":
        return True
    return file.suffix.lower() in SUFFIXES and not start.startswith(_OTHERS)


def read_dicom(file: Path, *, depth: int | None, window: Window) -> Bytes:
    """uint8 [H, W] of the file as it is meant to be seen.

    `depth` is how many bits are used where BitsStored is 16. ValueError says what is wrong;
    damaged bytes may raise whatever pydicom raises.
    """
    try:
        for needed in ("imagecodecs", "pydicom"):
            import_module(needed)
    except ImportError:
        raise ValueError(
            "to read DICOM files, first run: pip install 'cxr-rebalance[dicom]'"
        ) from None
    header = _header(file, [*_PIXELS, *_MODALITY, *(_VOI if window == "dicom" else ())])
    stored = _stored(file, header)
    low, high = _limits(header, stored, depth)
    values, least, most = _modality(np.arange(low, high + 1, dtype=np.float64), header)
    voi = _voi(values, header) if window == "dicom" else None
    if window == "percentile":
        least, most = _percentiles(
            values, np.bincount((stored - low).ravel(), minlength=len(values))
        )
    elif voi is None and header.BitsStored == 16:
        check_depth(stored, depth, signed=bool(header.PixelRepresentation))
    shown = (values - least) / (most - least) if voi is None else voi
    shown = shown.clip(0, 1)
    if header.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    return (255 * shown + 0.5).astype(np.uint8)[stored - low]


def _header(file: Path, tags: list[str]) -> "FileDataset":
    """The elements before the pixels; ValueError where the pixels cannot be read as grey."""
    header = _open(file, tags)
    if "Rows" not in header:
        raise ValueError("no DICOM image: it has no Rows")
    if _whole(header, "Rows") * _whole(header, "Columns") > MAX_PIXELS:
        raise ValueError(TOO_MANY)
    if (frames := int(header.get("NumberOfFrames") or 1)) > 1:
        raise ValueError(f"{frames} frames in one DICOM file: one is expected")
    if (kind := header.get("PhotometricInterpretation")) not in _GREYS:
        raise ValueError(f"DICOM of the kind {kind}: {' or '.join(_GREYS)} is expected")
    bits, samples = _whole(header, "BitsStored"), _whole(header, "SamplesPerPixel")
    top, signed = header.get("HighBit", bits - 1), _whole(header, "PixelRepresentation")
    if not 1 < bits <= 16 or top != bits - 1 or samples != 1 or signed not in (0, 1):
        raise ValueError(f"BitsStored {bits} with HighBit {top} is not read: 2 to 16 grey bits are")
    if (size := file.stat().st_size) > 8 * header.Rows * header.Columns + _OTHERWISE:
        raise ValueError(f"its {header.Rows}×{header.Columns} pixels are stored in {size:,} bytes")
    return header


def _open(file: Path, tags: list[str]) -> "FileDataset":
    """Those elements of the file, all of them converted, but not its pixels."""
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian as Deflated

    try:
        with file.open("rb") as opened:
            named = opened.read(132)[128:] == b"DICM"
        syntax = read_file_meta_info(file).get("TransferSyntaxUID") if named else None
        if syntax != Deflated:
            header = dcmread(file, stop_before_pixels=True, specific_tags=tags, force=not named)
            for _ in header.iterall():
                pass
            return header
    except Exception as error:  # what pydicom raises where bytes are damaged
        raise ValueError(f"its DICOM header is damaged ({printable(str(error))})") from None
    raise ValueError(f"{Deflated.name} is not read: save it uncompressed")  # its size is unknown


def _stored(file: Path, header: "FileDataset") -> Stored:
    """int32 [H, W], without what overlays or padding keep in the bits above BitsStored."""
    from pydicom import dcmread
    from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, _ = header.original_encoding
    plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    syntax = UID(header.file_meta.get("TransferSyntaxUID") or plain)
    try:
        whole = dcmread(file, specific_tags=_PIXELS, force=True)
        if not whole.get("PixelData"):
            raise ValueError
        whole.file_meta.TransferSyntaxUID = syntax
        pixels = decode(whole)
    except NotImplementedError:
        raise ValueError(f"its pixels are stored as {syntax.name}, which is not read") from None
    except Exception:  # what decoders raise where bytes are damaged
        raise ValueError(f"its pixels ({syntax.name}) are damaged or missing") from None
    mask = (1 << header.BitsStored) - 1
    stored: Stored = pixels.astype(np.int32) & mask
    if header.PixelRepresentation:
        sign = 1 << (header.BitsStored - 1)
        stored = (stored ^ sign) - sign
    return stored


def _limits(header: "FileDataset", stored: Stored, depth: int | None) -> tuple[int, int]:
    """The least and the greatest value that can be stored."""
    bits, signed = header.BitsStored, bool(header.PixelRepresentation)
    if bits == 16 and depth is not None:
        bits = check_depth(stored, depth, signed=signed)
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def _modality(values: Values, header: "Dataset") -> tuple[Values, float, float]:
    """The stored values in the units of the modality, the least and the greatest of them."""
    if header.get("ModalityLUTSequence"):
        first, entries, bits = _lut(header.ModalityLUTSequence[0], header)
        return _look_up(values, first, entries), 0, (1 << bits) - 1
    slope, intercept = _number(header, "RescaleSlope"), _number(header, "RescaleIntercept")
    if slope is not None and intercept is not None:
        if not slope:
            raise ValueError("RescaleSlope 0 makes every pixel the same")
        values = values * slope + intercept
    return values, float(values.min()), float(values.max())


def _voi(values: Values, header: "Dataset") -> Values | None:
    """0 to 1 by the file's first VOI LUT or window; None where it has neither."""
    if header.get("VOILUTSequence"):
        first, entries, bits = _lut(header.VOILUTSequence[0], header)
        most = (1 << bits) - 1
        if entries.max() <= most // 2:
            raise ValueError(
                f"its VOI LUT reaches {entries.max():.0f} of {most}: say --window full, or"
                " --window percentile"
            )
        return _look_up(values, first, entries) / most
    centre, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    if centre is None or width is None:
        return None
    shape = str(header.get("VOILUTFunction") or "LINEAR").upper()
    if width < (1 if shape == "LINEAR" else 1e-9):
        raise ValueError(f"its window is {width:g} wide: say --window full, or --window percentile")
    if shape == "LINEAR":
        if width == 1:
            return (values > centre - 0.5).astype(np.float64)
        return (values - (centre - 0.5)) / (width - 1) + 0.5
    if shape == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if shape == "SIGMOID":
        shown: Values = 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-700, 700)))
        return shown
    raise ValueError(f"its VOILUTFunction {shape} is unknown: say --window full")


def _percentiles(values: Values, counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The values below and above which `_TAILS` of the pixels lie; `counts` are those of values."""
    order = np.argsort(values, kind="stable")
    up_to = np.cumsum(counts[order])
    ends = np.ceil(np.array([_TAILS, 1 - _TAILS]) * up_to[-1])
    least, most = values[order][np.searchsorted(up_to, ends)].tolist()
    if least == most:
        raise ValueError("99 % of its pixels have one value: say --window full")
    return least, most


def _lut(item: "Dataset", header: "Dataset") -> tuple[int, Values, int]:
    """The first value that a table maps, its entries, and how many bits they have."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count or 1 << 16
    if header.PixelRepresentation and first >= 1 << 15:
        first -= 1 << 16  # written as if unsigned
    data = item.LUTData
    if isinstance(data, bytes):
        _, little = header.original_encoding
        kind = np.uint8 if len(data) == count else np.dtype("<u2" if little else ">u2")
        data = np.frombuffer(data, kind)
    entries = np.atleast_1d(np.asarray(data, np.float64))
    if len(entries) < count or not 8 <= bits <= 16:
        raise ValueError(f"its LUT has {len(entries)} entries of {count}, {bits} bits each")
    return first, entries[:count], bits


def _look_up(values: Values, first: int, entries: Values) -> Values:
    """The entry of each value; the outermost ones for values outside of the table."""
    return entries[(np.floor(values) - first).clip(0, len(entries) - 1).astype(np.intp)]


def _whole(header: "Dataset", keyword: str) -> int:
    """The whole number of an element."""
    found = header.get(keyword)
    if not isinstance(found, int):
        raise ValueError(f"its {keyword} is missing or damaged")
    return found


def _number(header: "Dataset", keyword: str) -> float | None:
    """The first number of an element; None where it is absent or empty."""
    found = header.get(keyword)
    several = found if isinstance(found, MutableSequence) else [found]
    if not several or several[0] in (None, ""):
        return None
    try:
        number = float(several[0])
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"its {keyword} is no number")
    return number
