"""Files that people take for a generator, each made as its own program makes it."""

import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from builder import generators
from builder.contract import CheckError, ImageSpec
from builder.contract.weights import WeightsHeader, make_network, weights_bytes
from builder.generators import nih64
from builder.generators.kinds import GENERATOR, check_kind, kind_of
from builder.generators.tfpickle import convert

WEIGHTS = Path(nih64.__file__).with_suffix(".safetensors")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 92211345\n"


def global_of(module: str, name: str) -> bytes:
    """The opcodes of protocol 4 that name an object."""
    words = b"".join(b"\x8c" + bytes([len(w)]) + w.encode() for w in (module, name))
    return words + b"\x93"


def torch_bytes(*, new: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(3)}, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def zip_bytes(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"{}")
    return buffer.getvalue()


def npz_bytes() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, w=np.ones(3))
    return buffer.getvalue()


def tar_bytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("network.pkl"))
    return buffer.getvalue()


def classifier_bytes() -> bytes:
    spec = ImageSpec(height=32, width=32, codec="png", quality=0)
    header = WeightsHeader(pathologies=("Mass",), image=spec, manifest="0" * 64, epoch=1)
    return weights_bytes(make_network(1), header)


FILES: dict[str, Callable[[], bytes]] = {
    "an empty file": lambda: b"",
    "a web page": lambda: b"\xef\xbb\xbf\r\n<!DOCTYPE html><html>Sign in</html>",
    "a Git LFS pointer": lambda: POINTER,
    "a PyTorch checkpoint": lambda: torch_bytes(new=True),
    "a PyTorch checkpoint,": lambda: torch_bytes(new=False),
    "a StyleGAN pickle": lambda: (
        b"\x80\x04}\x8c\x05G_ema" + global_of("torch_utils.persistence", "_reconstruct") + b"s."
    ),
    "a StyleGAN pickle,": lambda: b"\x80\x02cdnnlib.tflib.network\nNetwork\n.",
    "a Keras network": lambda: zip_bytes("config.json", "model.weights.h5"),
    "an HDF5 file": lambda: b"\x89HDF\r\n\x1a\n" + bytes(100),
    "an ONNX network": lambda: b"\x08\x08\x12\x07pytorch\x1a\x052.8.0:\x80\x01",
    "a NumPy file": npz_bytes,
    "an archive": tar_bytes,
    "an archive;": lambda: b"\x1f\x8b\x08" + bytes(20),
    "whose end is missing": lambda: WEIGHTS.read_bytes()[:-1],
    "whose end is missing;": lambda: WEIGHTS.read_bytes()[:100],
    "a .safetensors file of another program": lambda: save({"w": torch.ones(2)}, {"format": "pt"}),
    "a pickle, which is a program": lambda: pickle.dumps({"weights": 1}, 0x4),
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("name", ["gan.safetensors", "network.bin"])
def test_a_generator_that_is_none_is_named_for_what_it_is(
    what: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[what]())
    with pytest.raises(CheckError) as caught:
        generators.load(str(path), 32)
    assert f"{name} is not a generator: it is" in str(caught.value)
    assert what.rstrip(",;") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", [what for what in FILES if "a pickle" not in what])
def test_a_pickle_that_is_none_is_named_for_what_it_is(what: str, tmp_path: Path) -> None:
    path = tmp_path / "network-final.pkl"
    path.write_bytes(FILES[what]())
    with pytest.raises(CheckError, match="not a published TensorFlow pickle: it is") as caught:
        convert(path, tmp_path / "out.safetensors", ["Mass"])
    assert what.rstrip(",;") in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_what_belongs_elsewhere_is_told_where(tmp_path: Path) -> None:
    path = tmp_path / "network-final.pkl"
    path.write_bytes(b"\x80\x04" + global_of("tfutil", "Network") + b".")
    with pytest.raises(CheckError, match="a TensorFlow pickle; convert it by xbuild import-gan"):
        generators.load(str(path), 32)
    with pytest.raises(CheckError, match="a generator already; give it to xbuild synth"):
        convert(WEIGHTS, tmp_path / "out.safetensors", ["Mass"])
    path.write_bytes(classifier_bytes())
    with pytest.raises(CheckError, match="a classifier that xtrain saved"):
        generators.load(str(path), 32)


def test_a_generator_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "gan.weights"
    path.write_bytes(WEIGHTS.read_bytes())
    assert generators.find(str(path), 64).name == "pggan"


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_run_to_learn_what_it_is(tmp_path: Path) -> None:
    path, mark = tmp_path / "g.pkl", tmp_path / "mark"
    path.write_bytes(pickle.dumps(Evil(mark)))
    assert kind_of(path) == "pickle"
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"weights of a network.",
        b"image,patient,Mass\n000.png,p00,1\n001.png,p01,0\n",
        b"classes of images\nare no pickle\n",
        bytes(range(200, 256)),
        (9).to_bytes(8, "little") + b"{" + b"[" * 8,
        (1 << 40).to_bytes(8, "little") + b"{}",
        (5).to_bytes(8, "little") + json.dumps([1, 2]).encode(),
    ],
    ids=["text", "table", "words", "bytes", "broken header", "endless header", "list"],
)
def test_a_file_that_is_none_of_these_passes(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert kind_of(path) == ""
    check_kind(path, "a generator", (GENERATOR,))


def test_every_cut_of_a_pickle_is_looked_at_without_an_error(tmp_path: Path) -> None:
    data = b"\x80\x04" + global_of("tfutil", "Network") + b"}."
    path = tmp_path / "cut.pkl"
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        assert kind_of(path) in ("pickle", "TensorFlow pickle")
