"""DICOM files against pydicom's own modality and VOI functions, and numpy."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from builder.contract import Bytes
from builder.contract.dicom import Window, is_dicom, read_dicom

Write = Callable[..., Dataset]
Array = npt.NDArray[Any]
FULL = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 4096}


def ramp(bits: int = 12, *, signed: bool = False, shape: tuple[int, int] = (24, 18)) -> Array:
    """Every part of the range, in no order."""
    values = np.linspace(0, 2**bits - 1, shape[0] * shape[1]).astype(np.int64)
    values = np.random.default_rng(bits).permutation(values).reshape(shape)
    return (values - 2 ** (bits - 1)).astype(np.int16) if signed else values.astype(np.uint16)


def lut(first: int, entries: Array, bits: int) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    return Sequence([item])


def read(file: Path, window: Window = "dicom", depth: int | None = None) -> Bytes:
    return read_dicom(file, depth=depth, window=window)


def expected(file: Path, window: Window) -> Array:
    """float64 [H, W] in 0 to 255, by the functions of pydicom and numpy."""
    found = pydicom.dcmread(file)
    values = apply_modality_lut(found.pixel_array, found)
    signed, bits = found.PixelRepresentation, found.BitsStored
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    if "ModalityLUTSequence" in found:
        ends = np.array([0, 2 ** found.ModalityLUTSequence[0].LUTDescriptor[2] - 1])
    elif "RescaleSlope" in found:
        ends = ends * float(found.RescaleSlope) + float(found.RescaleIntercept)
    if window == "percentile":
        ends = np.percentile(values, [0.5, 99.5], method="inverted_cdf")
    ends = np.sort(ends.astype(float))
    if window == "dicom":
        if "VOILUTSequence" in found:
            ends = np.array([0, 2 ** found.VOILUTSequence[0].LUTDescriptor[2] - 1])
        elif float(found.get("RescaleSlope", 1)) < 0 and "WindowWidth" in found:
            ends = ends[::-1]  # pydicom's output falls, too: PS3.3 C.11.2.1.2 knows no such thing
        values = apply_voi_lut(values, found)
    shown = np.clip((values.astype(float) - ends[0]) / (ends[1] - ends[0]), 0, 1)
    dark = found.PhotometricInterpretation == "MONOCHROME1"
    return 255 * (1 - shown if dark else shown)


CURVE = np.linspace(0, 1, 4096) ** 2
SHOWN: dict[str, dict[str, object]] = {
    "no window": {},
    "window": {"WindowCenter": 1800, "WindowWidth": 2000},
    "two windows": {"WindowCenter": [1800, 100], "WindowWidth": [2000, 10]},
    "narrow": {"WindowCenter": 700.5, "WindowWidth": 1},
    "exact": {"WindowCenter": 900, "WindowWidth": 700.5, "VOILUTFunction": "LINEAR_EXACT"},
    "sigmoid": {"WindowCenter": 900, "WindowWidth": 700, "VOILUTFunction": "SIGMOID"},
    "rescale": {"RescaleSlope": "2.5", "RescaleIntercept": "-1024"},
    "rescale and window": {
        "RescaleSlope": "0.5",
        "RescaleIntercept": "-100",
        "WindowCenter": 400,
        "WindowWidth": 900,
    },
    "falling": {"RescaleSlope": "-1", "RescaleIntercept": "4095"},
    "VOI LUT": {"VOILUTSequence": lut(0, CURVE * 1023, 10), **FULL},
    "VOI LUT of a part": {"VOILUTSequence": lut(500, CURVE[::4] * 65535, 16)},
    "modality LUT": {"ModalityLUTSequence": lut(0, CURVE[::-1] * 65535, 16)},
    "empty window": {"WindowCenter": "", "WindowWidth": ""},
}


@pytest.mark.parametrize("window", ["dicom", "full", "percentile"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("name", SHOWN)
def test_greys_are_shown_as_pydicom_shows_them(
    write_dicom: Write, tmp_path: Path, name: str, photometric: str, window: Window
) -> None:
    file = tmp_path / "a.dcm"
    elements = {"BitsStored": 12, "PhotometricInterpretation": photometric, **SHOWN[name]}
    write_dicom(file, ramp(), **elements)
    if name == "empty window":
        write_dicom(tmp_path / "none.dcm", ramp(), BitsStored=12)
        assert np.ptp(read(file, window)) == 255
        return
    grey = read(file, window)
    assert grey.dtype == np.uint8
    assert np.abs(grey - expected(file, window)).max() <= 1
    assert np.ptp(grey) > 100


@given(
    bits=st.sampled_from([8, 10, 12, 14, 16]),
    signed=st.booleans(),
    dark=st.booleans(),
    window=st.sampled_from(["dicom", "full", "percentile"]),
    view=st.none() | st.tuples(st.integers(-3000, 5000), st.integers(2, 5000)),
    slope=st.sampled_from([None, "1", "0.25", "-3"]),
)
def test_any_depth_and_sign_is_read_as_pydicom_reads_it(
    write_dicom: Write,
    tmp_path_factory: pytest.TempPathFactory,
    bits: int,
    signed: bool,
    dark: bool,
    window: Window,
    view: tuple[int, int] | None,
    slope: str | None,
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.dcm"
    elements: dict[str, object] = {"BitsStored": bits}
    if view:
        elements |= {"WindowCenter": view[0], "WindowWidth": view[1]}
    if slope:
        elements |= {"RescaleSlope": slope, "RescaleIntercept": "-7"}
    elements["PhotometricInterpretation"] = "MONOCHROME1" if dark else "MONOCHROME2"
    write_dicom(file, ramp(bits, signed=signed), **elements)
    assert np.abs(read(file, window) - expected(file, window)).max() <= 1


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_byte_orders_are_read(write_dicom: Write, tmp_path: Path, syntax: UID) -> None:
    write_dicom(tmp_path / "plain.dcm", ramp(), BitsStored=12)
    write_dicom(tmp_path / "other.dcm", ramp(), BitsStored=12, syntax=syntax)
    assert np.array_equal(read(tmp_path / "other.dcm"), read(tmp_path / "plain.dcm"))


def test_bits_above_those_stored_are_no_grey(write_dicom: Write, tmp_path: Path) -> None:
    for values in (ramp(), ramp(signed=True)):
        write_dicom(tmp_path / "plain.dcm", values, BitsStored=12)
        overlaid = (values & 0xFFF).astype(np.uint16) | np.uint16(0xA000)
        write_dicom(tmp_path / "overlaid.dcm", overlaid.view(values.dtype), BitsStored=12)
        assert np.array_equal(read(tmp_path / "overlaid.dcm"), read(tmp_path / "plain.dcm"))


def test_a_file_without_preamble_is_known_by_its_suffix(write_dicom: Write, tmp_path: Path) -> None:
    file = tmp_path / "a.dcm"
    write_dicom(file, ramp(), BitsStored=12)
    plain, data = read(file), file.read_bytes()
    (tmp_path / "IM0001").write_bytes(data)
    assert is_dicom(tmp_path / "IM0001")
    start = data.index(b"\x08\0\x16\0UI")  # behind the file's own head
    for name in ("b.DCM", "c.dicom"):
        (tmp_path / name).write_bytes(data[start:])
        assert is_dicom(tmp_path / name)
        assert np.array_equal(read(tmp_path / name), plain)
    for start in (b"\x89PNG", b"\xff\xd8\xff", b"II*\0"):
        (tmp_path / "picture.dcm").write_bytes(start + bytes(200))
        assert not is_dicom(tmp_path / "picture.dcm")
    (tmp_path / "text.png").write_bytes(b"text")
    assert not is_dicom(tmp_path / "text.png")


def test_sixteen_bits_that_may_hold_fewer_are_refused_unless_a_window_says_it(
    write_dicom: Write, tmp_path: Path
) -> None:
    file = tmp_path / "a.dcm"
    write_dicom(file, ramp(12))
    for window in ("dicom", "full"):
        with pytest.raises(ValueError, match="12-bit data\\? say --depth 12"):
            read(file, window)
    assert np.ptp(read(file, "percentile")) == 255
    assert np.ptp(read(file, depth=12)) == 255
    assert read(file, depth=16).max() == 16
    with pytest.raises(ValueError, match="brightest 4095: more than --depth 10 holds"):
        read(file, depth=10)
    write_dicom(file, ramp(12), **{**FULL, "BitsStored": 16})
    assert np.ptp(read(file)) == 255
    write_dicom(file, ramp(10), BitsStored=12)
    assert read(file, depth=10).max() == 64  # a file that says its depth is believed


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "colour": ({"PhotometricInterpretation": "RGB"}, "DICOM of the kind RGB"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "of the kind PALETTE COLOR"),
    "frames": ({"NumberOfFrames": 3}, "3 frames in one DICOM file: one is expected"),
    "no rows": ({"Rows": None}, "no DICOM image: it has no Rows"),
    "no columns": ({"Columns": None}, "its Columns is missing or damaged"),
    "no pixels": ({"PixelData": None}, r"its pixels \(Explicit VR .*\) are damaged or missing"),
    "few pixels": ({"PixelData": bytes(99)}, "are damaged or missing"),
    "bomb": ({"Rows": 65535, "Columns": 65535}, "more pixels than any radiograph has"),
    "many bits": ({"BitsAllocated": 32, "BitsStored": 20}, "BitsStored 20 with HighBit 11"),
    "high bit": ({"HighBit": 15}, "BitsStored 12 with HighBit 15 is not read"),
    "no sign": ({"PixelRepresentation": None}, "its PixelRepresentation is missing"),
    "zero slope": ({"RescaleSlope": "0", "RescaleIntercept": "1"}, "RescaleSlope 0 makes every"),
    "no width": ({"WindowCenter": 5, "WindowWidth": 0}, "its window is 0 wide: say --window full"),
    "odd shape": ({**FULL, "VOILUTFunction": "CUBIC"}, "its VOILUTFunction CUBIC is unknown"),
    "dark LUT": ({"VOILUTSequence": lut(0, CURVE * 4095, 16)}, "its VOI LUT reaches 4095 of 65535"),
    "short LUT": ({"ModalityLUTSequence": lut(0, CURVE, 4)}, "4 bits each"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_rightly_is_refused_by_name(
    write_dicom: Write, tmp_path: Path, name: str
) -> None:
    elements, words = REFUSED[name]
    write_dicom(tmp_path / "a.dcm", ramp(), **{"BitsStored": 12, "HighBit": 11, **elements})
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "a.dcm")


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, MPEG2MPML])
def test_transfer_syntaxes_that_are_not_read_are_named(
    write_dicom: Write, tmp_path: Path, syntax: UID
) -> None:
    frame = b"\xff\x0a" if syntax.is_encapsulated else None
    write_dicom(tmp_path / "a.dcm", ramp(), BitsStored=12, syntax=syntax, frame=frame)
    with pytest.raises(ValueError, match=f"{syntax.name}.* is not read"):
        read(tmp_path / "a.dcm")


def test_no_bytes_lead_to_more_than_a_sentence(write_dicom: Write, tmp_path: Path) -> None:
    file, random = tmp_path / "a.dcm", np.random.default_rng(0)
    write_dicom(file, ramp(), **FULL, RescaleSlope="1", RescaleIntercept="0")
    good = file.read_bytes()
    refused = 0
    for _ in range(150):
        bad = bytearray(good)
        for place in random.integers(132, len(bad) - 900, 4):
            bad[place] = random.integers(256)
        file.write_bytes(bad[: len(bad) - int(random.integers(2) * random.integers(len(bad)))])
        try:
            assert read(file).dtype == np.uint8
        except ValueError as error:
            refused += bool(str(error))
    assert refused > 50


WITHOUT = """
import sys
from pathlib import Path
sys.modules["pydicom"] = None
from builder.contract.radiograph import Reading, read_radiograph
try: read_radiograph(Path(sys.argv[1]), 16, Reading())
except ValueError as error: print(error)
"""
QUIET = """
import sys
from pathlib import Path
from builder.contract.radiograph import Reading, read_radiograph
assert "pydicom" not in sys.modules
print(read_radiograph(Path(sys.argv[1]), 16, Reading()).shape)
"""


def test_pydicom_is_asked_for_and_warns_of_nothing(write_dicom: Write, tmp_path: Path) -> None:
    file = tmp_path / "a.dcm"
    write_dicom(file, ramp(), **FULL, PixelData=ramp().tobytes() + bytes(64))  # it warns of that
    for code, words in ((WITHOUT, "pip install 'cxr-rebalance[dicom]'"), (QUIET, "(16, 16)")):
        done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True)
        assert words in done.stdout
        assert done.stderr == ""
