"""What a file of a stranger is, by its first bytes: nothing in it is run to learn that.

Files that people take for a generator are web pages, pointers and the weights of other programs.
"""

import pickletools
import zipfile
from collections.abc import Sequence
from pathlib import Path

from builder.contract import CheckError
from builder.contract.record import MAX_JSON, parse_json

GENERATOR, TF_PICKLE, PICKLE = "generator", "TensorFlow pickle", "pickle"

_HEAD = 4096  # bytes that are looked at
_OPCODES = 10_000  # of a pickle; the first objects come long before
_AGAIN = "download or copy it again"
_OTHERS = "wrap its network as a plug-in generator, or train one by xbuild fit-gan"

_KINDS = {  # what it is, and what to do
    "empty": ("an empty file", _AGAIN),
    "page": ("a web page (did the download ask for a login?)", "download it in a browser"),
    "pointer": ("a Git LFS pointer in place of the file", "fetch the file by git lfs pull"),
    "torch": ("a PyTorch checkpoint, which does not hold its network", _OTHERS),
    "stylegan": ("a StyleGAN pickle, whose own code would have to be run", _OTHERS),
    "keras": ("a Keras network", _OTHERS),
    "hdf5": ("an HDF5 file, as Keras saves networks", _OTHERS),
    "onnx": ("an ONNX network", _OTHERS),
    "numpy": ("a NumPy file", _OTHERS),
    "archive": ("an archive", "unpack it and name the file in it"),
    "cut": ("a .safetensors file whose end is missing", _AGAIN),
    "classifier": (
        "a classifier that xtrain saved, which scores images and makes none",
        "take a file of xbuild fit-gan or xbuild import-gan",
    ),
    "tensors": (
        "a .safetensors file of another program",
        "give a Stable Diffusion pipeline by its folder, as diffusers:FOLDER",
    ),
    GENERATOR: ("a generator already", "give it to xbuild synth by --generator"),
    TF_PICKLE: ("a TensorFlow pickle", "convert it by xbuild import-gan"),
    PICKLE: ("a pickle, which is a program that is not run here", _OTHERS),
}
_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<script")
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")
_OLD_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # the number that torch.save once wrote first
_MODULES = {  # of the first object that a pickle names
    "tfutil": TF_PICKLE,
    "dnnlib": "stylegan",
    "torch_utils": "stylegan",
    "torch": "torch",
}
_METADATA = {"header": GENERATOR, "xtrain": "classifier"}  # of .safetensors files


def check_kind(path: Path, wanted: str, taken: Sequence[str]) -> None:
    """Raise CheckError where the file is known to be something else than one of `taken`.

    `wanted` says in a sentence what it should be; a file that nothing is known of passes.
    """
    kind = kind_of(path)
    if kind and kind not in taken:
        what, todo = _KINDS[kind]
        raise CheckError(f"{path} is not {wanted}: it is {what}; {todo}.")


def kind_of(path: Path) -> str:
    """The kind of file by its content, a key of _KINDS; "" where it is none of them.

    OSError where it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "empty"
    if head.startswith(b"version https://git-lfs"):
        return "pointer"
    if text.startswith(_PAGES):
        return "page"
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":
        return "archive"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"\x93NUMPY"):
        return "numpy"
    if _OLD_TORCH in head[:32]:
        return "torch"
    if head[8:9] == b"{":
        return _kind_of_tensors(path)
    # An ONNX file begins with field 1, its version, and soon says who made it.
    if head[0] == 8 and (path.suffix == ".onnx" or b"onnx" in head or b"pytorch" in head[:32]):
        return "onnx"
    return _kind_of_pickle(path)


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "torch" if path.suffix in (".pt", ".pth", ".ckpt") else "archive"
    if any(name.endswith("data.pkl") for name in names):
        return "torch"
    if any(name.endswith((".weights.h5", "keras_metadata.pb")) for name in names):
        return "keras"
    return "numpy" if names and all(name.endswith(".npy") for name in names) else "archive"


def _kind_of_tensors(path: Path) -> str:
    """The kind of a .safetensors file, by its header and its length."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_JSON:
            return ""
        text = file.read(length)
    if len(text) < length:
        return "cut"
    try:
        header = parse_json(text, "The header")
        metadata = header.pop("__metadata__", {})
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if size < 8 + length + end:
            return "cut"
        return next((kind for key, kind in _METADATA.items() if key in metadata), "tensors")
    except (CheckError, KeyError, TypeError, AttributeError, IndexError):
        return ""


def _kind_of_pickle(path: Path) -> str:
    """The kind by the first module that is known; the opcodes are read, not run."""
    strings: list[str] = []
    asked = False
    try:
        with path.open("rb") as file:
            asked = file.read(1) == b"\x80"
            file.seek(0)
            for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
                if number > _OPCODES:
                    return PICKLE
                if isinstance(argument, str) and opcode.name not in ("GLOBAL", "INST"):
                    strings.append(argument)
                    continue
                if opcode.name in ("GLOBAL", "INST"):
                    module, _, name = str(argument).partition(" ")
                    if not (module + name).replace(".", "").isidentifier():
                        break  # text, such as a table whose header begins with "image"
                elif opcode.name == "STACK_GLOBAL" and len(strings) > 1:
                    module = strings[-2]
                else:
                    continue
                asked = True
                if kind := _MODULES.get(module.split(".")[0]):
                    return kind
    except Exception:  # a damaged file can fail in any way
        pass
    return PICKLE if asked else ""
