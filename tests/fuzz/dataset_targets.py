"""The files of a dataset: manifest, recipe, index, shard, image, audit, announced release."""

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import simplejpeg
from borrowed import conftest
from bounds import Target
from layers import PARQUET, PNG, SHARD
from PIL import Image

from builder.blueprint import prepare
from builder.build import resolve
from builder.contract import (
    CheckError,
    ImageSpec,
    Manifest,
    Sample,
    decode_image,
    index_bytes,
    load_index,
    load_manifest,
    sha256_bytes,
)
from builder.contract.audit import read_audit
from builder.contract.radiograph import Reading, read_radiograph
from builder.contract.record import parse_json, to_json
from builder.contract.sketch import SKETCH_BYTES
from builder.contract.tar import END, header, padding, walk
from builder.engines.jobs import real_jobs
from builder.generators import find
from builder.recipe import Layout, Request, resolve_real
from builder.share.check import parse_sums
from builder.share.lockfile import Own, recall
from builder.share.sign import check_signature
from builder.write.encode import encode

SIDE = 16
NAMES = ("Mass", 'Pleural "Other"', "Édema")
GREYS = ImageSpec(height=SIDE, width=SIDE, codec="png", quality=0)
PHOTO = replace(GREYS, codec="jpg", quality=90)
CLINIC = "image,patient,Mass,Edema\n" + "".join(
    f"{i}.png,p{i},{int(i % 6 == 0)},{int(i % 3 == 0)}\n" for i in range(30)
)
COUNTS = {("train", "real"): 8, ("val", "real"): 4, ("test", "real"): 4, ("train", "synthetic"): 4}


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@cache
def sealed() -> tuple[Manifest, bytes, bytes]:
    """A manifest, its file, and the file of its index."""
    with TemporaryDirectory() as folder:
        made = conftest("trainer").seal(Path(folder), counts=COUNTS, codec="png")
        index = (made.root / made.manifest.index.url).read_bytes()
        return made.manifest, made.path.read_bytes(), index


def manifests() -> Sequence[bytes]:
    manifest, first, _ = sealed()
    real = replace(
        manifest,
        schema=2,
        plan=None,
        generator=None,
        shardlist=tuple(s for s in manifest.shardlist if s.origin == "real"),
        index=replace(manifest.index, rows=16),
    )
    return [first, replace(manifest, schema=2).to_json().encode(), real.to_json().encode()]


def manifest(data: bytes, folder: Path) -> None:
    path = folder / "tiny.json"
    path.write_bytes(data)
    load_manifest(path)


@cache
def recipes() -> Sequence[bytes]:
    """One with synthetic images, and one of real images alone; each was read, with all imports."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_text(CLINIC)
        request = Request(dataset="table", labels=path, image_size=SIDE, holdout=("0.2", "0.2"))
        blueprint = prepare(replace(request, targets=("Mass",)))
        made = resolve(blueprint, find("phantom", SIDE), blueprint.checks)
        real = resolve_real(request, blueprint.cohort.table)
        found = [json.dumps(each).encode() for each in (made.noted(), asdict(real))]
        for data in found:
            recipe(data, Path(folder))
    return found


def recipe(data: bytes, folder: Path) -> None:
    """As `xbuild rebuild` takes it, up to the samples of each shard."""
    raw = parse_json(data, "The recipe")
    if not isinstance(raw, dict):
        raise CheckError("The recipe is no object.")
    (folder / "labels.csv").write_text(CLINIC)
    found, *_ = sealed()
    found = replace(found, schema=2, recipe=raw)
    if "generator" not in raw:
        found = replace(found, plan=None, generator=None)
    own = Own(labels=folder / "labels.csv")
    recalled = recall(found, folder / "tiny.json", own, anyway=True)
    layout = Layout(root=folder, pathologies=NAMES, image=recalled.recipe.image)
    real_jobs(recalled.recipe, recalled.cohort, layout, skip_bad=False)


@cache
def indexes() -> Sequence[bytes]:
    """One without groups and sketches, and one with them."""
    found, _, plain = sealed()
    with TemporaryDirectory() as folder:
        path = Path(folder) / found.index.url
        path.parent.mkdir()
        path.write_bytes(plain)
        rows = load_index(found, Path(folder))
    real = rows.origin == "real"
    words = {"view": "pa", "sex": "female", "age": "20-40"}
    groups = {name: np.where(real, word, "").astype(object) for name, word in words.items()}
    more = replace(rows, sketch=noise((len(rows), SKETCH_BYTES)), **groups)
    return [plain, index_bytes(more, found.pathologies)]


def index(data: bytes, folder: Path) -> None:
    found, *_ = sealed()
    path = folder / found.index.url
    path.parent.mkdir()
    path.write_bytes(data)
    entry = replace(found.index, sha256=sha256_bytes(data))
    load_index(replace(found, index=entry), folder)


@cache
def shards() -> Sequence[bytes]:
    made = b""
    for number, origin in enumerate(("real", "synthetic")):
        sample = Sample(
            key=f"{origin}-{number:07d}",
            split="train",
            origin="real" if origin == "real" else "synthetic",
            target="" if origin == "real" else NAMES[0],
            draw=number - 1,
            patient="",
            labels=(1, 0, -1),
        )
        image, text = encode(noise((SIDE, SIDE), number), GREYS), sample.to_json(NAMES)
        for name, part in ((f"{sample.key}.png", image), (f"{sample.key}.json", text)):
            made += header(name, len(part)) + part + padding(len(part))
    return [made + END]


def shard(data: bytes, folder: Path) -> None:
    path = folder / "train-00000.tar"
    path.write_bytes(data)
    for member in walk(path, "png", GREYS.max_bytes):
        member.drawn()
        member.labels()


@cache
def pngs() -> Sequence[bytes]:
    found = [encode(noise((SIDE, SIDE), seed), GREYS) for seed in range(2)]
    sink = io.BytesIO()
    Image.fromarray(noise((SIDE, SIDE))).save(sink, "PNG")
    return [*found, sink.getvalue()]


def png(data: bytes, _: Path) -> None:
    decode_image(data, GREYS)


@cache
def jpegs() -> Sequence[bytes]:
    sink = io.BytesIO()
    Image.fromarray(noise((SIDE, SIDE))).save(sink, "JPEG", progressive=True)
    return [simplejpeg.encode_jpeg(noise((SIDE, SIDE, 1)), 90, "GRAY"), sink.getvalue()]


def jpeg(data: bytes, _: Path) -> None:
    decode_image(data, PHOTO)


@cache
def radiographs() -> Sequence[bytes]:
    found = [*pngs(), *jpegs()]
    deep = Image.fromarray(noise((20, 24)).astype(np.uint16) * 257)
    for picture, kind, options in (
        (deep, "PNG", {}),
        (deep, "TIFF", {"compression": "tiff_lzw"}),
        (Image.fromarray(noise((20, 24, 3))), "JPEG", {}),
        (Image.fromarray(noise((20, 24, 4))), "PNG", {}),
        (Image.fromarray(noise((20, 24))), "TIFF", {}),
    ):
        sink = io.BytesIO()
        picture.save(sink, kind, **options)
        found.append(sink.getvalue())
    return found


def radiograph(data: bytes, folder: Path) -> None:
    path = folder / "image"
    path.write_bytes(data)
    read_radiograph(path, SIDE, Reading(depth=16, upsample=True))


@cache
def dicoms() -> Sequence[bytes]:
    write = conftest("builder/contract").write_dicom._get_wrapped_function()()
    pixels = noise((20, 24)).astype(np.uint16) * 16
    found = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        photo = simplejpeg.encode_jpeg(noise((20, 24, 1)), 90, "GRAY")
        from pydicom.uid import JPEGBaseline8Bit

        write(path, pixels, BitsStored=12)
        found.append(path.read_bytes())
        write(path, pixels, WindowCenter=2000, WindowWidth=900, RescaleSlope=1, RescaleIntercept=-9)
        found.append(path.read_bytes())
        write(path, noise((20, 24)), frame=photo, syntax=JPEGBaseline8Bit)
        found.append(path.read_bytes())
    return found


def audits() -> Sequence[bytes]:
    source = sys.modules.get("conftest of .") or conftest(".")
    return [to_json(source.audit._get_wrapped_function()()).encode()]


def audit(data: bytes, folder: Path) -> None:
    path = folder / "gan100.audit.json"
    path.write_bytes(data)
    read_audit(path)


def sums() -> Sequence[bytes]:
    lines = [f"{digit * 64}  shards/x/train-0000{digit}.tar\n" for digit in "012"]
    return ["".join(lines).encode()]


def sums_file(data: bytes, _: Path) -> None:
    parse_sums(data)


def signature(data: bytes, _: Path) -> None:
    check_signature(b"SHA256SUMS", data)


@cache
def signatures() -> Sequence[bytes]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from builder.share.sign import sign

    key = Ed25519PrivateKey.from_private_bytes(bytes(32)).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        path.write_bytes(key)
        path.chmod(0o600)
        return [sign(b"SHA256SUMS", path)]


TARGETS = {
    "manifest": Target(examples=manifests, call=manifest),
    "recipe": Target(examples=recipes, call=recipe),
    "index": Target(examples=indexes, call=index, layers=(PARQUET,)),
    "shard": Target(examples=shards, call=shard, layers=SHARD),
    "png": Target(examples=pngs, call=png, layers=PNG, sentences=(ValueError,)),
    "jpeg": Target(examples=jpegs, call=jpeg, sentences=(ValueError,)),
    "radiograph": Target(
        examples=radiographs, call=radiograph, layers=PNG, sentences=(ValueError,)
    ),
    "dicom": Target(examples=dicoms, call=radiograph, sentences=(ValueError,)),
    "audit": Target(examples=audits, call=audit),
    "sums": Target(examples=sums, call=sums_file),
    "signature": Target(examples=signatures, call=signature),
}
