"""Names and shapes of everything on disk, schema 1: load, save, check manifest and index.

This is the one module that `builder` and `trainer` share. A manifest, an index and a shard are
input from strangers: nothing here runs a command, unpickles, follows a path out of the dataset's
root, or decodes more pixels than the manifest's geometry allows. Every refusal is one sentence.

    root/manifests/gan10.json       Manifest, written last: it exists = the dataset is complete
    root/manifests/gan10.parquet    Index, one row per sample
    root/shards/.../train-00000-of-00006.tar (+ .idx)
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path, PurePosixPath
from reprlib import repr as brief  # a stranger's value may be megabytes long, or escape codes
from typing import Any, cast

import numpy as np
import numpy.typing as npt

SCHEMA = 1
SPLITS = ("train", "val", "test")
ORIGINS = ("real", "synthetic")
CODECS = ("jpg", "png")

KEY = re.compile(r"[a-z0-9_-]{1,90}")
PATIENT = re.compile(r"[0-9a-f]{16}")
_URL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"\w(?:[\w (),.'/+&%:-]{0,98}[\w)%])?")  # nothing that a page or plot acts on
_MOST_ROWS = 10**8
_MOST_ROW_BYTES = 400  # of the index; no honest row comes near it
_FIXED_COLUMNS = ("key", "split", "origin", "shard", "offset", "size", "target", "draw", "patient")
MAX_JSON_BYTES = 1 << 16
_SMALLEST_SAMPLE = 2048  # bytes in a tar: two members of a header and a block

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int8]


class UsageError(Exception):
    """What was asked cannot be done as asked: one sentence for the user, exit code 2."""

    exit_code = 2


class CheckError(UsageError):
    """Something on disk is not what it must be: one sentence for the user, exit code 1."""

    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """Geometry and codec of every image in a dataset: 8-bit grey, `height` × `width` pixels."""

    height: int
    width: int
    codec: str
    quality: int  # JPEG quality 1–100; 0 where the codec is lossless

    @property
    def max_bytes(self) -> int:
        """The largest image member that is accepted: noise at JPEG quality 100 stays below it."""
        return 2 * self.height * self.width + 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """One tar: `url` is relative to the root; names as in webdataset's wids index."""

    url: str
    nsamples: int
    filesize: int
    sha256: str
    split: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """The parquet index: `url` is relative to the root."""

    url: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCount:
    """A target's numbers in the training set: `positives` includes the `render`ed images'."""

    pathology: str
    real_positives: int
    render: int
    positives: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProof:
    """The promise, checkable in integers: share[1]·positives ≥ share[0]·(real + synthetic)."""

    share: tuple[int, int]
    real: int
    synthetic: int
    fewest: int  # proven lower bound on `synthetic`; equal to it = the plan is optimal
    targets: tuple[TargetCount, ...]

    def broken(self) -> list[TargetCount]:
        """The targets whose share does not hold."""
        numerator, denominator = self.share
        total = self.real + self.synthetic
        return [t for t in self.targets if denominator * t.positives < numerator * total]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `xtrain --shards` reads; `digest` names exactly this dataset."""

    schema: int
    name: str
    pathologies: tuple[str, ...]
    image: ImageSpec
    recipe: dict[str, Any]
    plan: PlanProof
    generator: dict[str, Any]
    source: dict[str, Any]
    software: dict[str, str]
    index: IndexEntry
    shardlist: tuple[ShardEntry, ...]

    def to_json(self) -> str:
        """The manifest file's text, the same for the same manifest."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @property
    def digest(self) -> str:
        """sha256 of `to_json()`, hence of the file as written."""
        return sha256_bytes(self.to_json().encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was asked of one image; it travels with the pixels into the tar and the index."""

    key: str  # matches KEY
    split: str
    origin: str
    target: str  # pathology it was rendered for; "" for real ones
    draw: int  # draw number within the target; -1 for real ones
    patient: str  # salted hash; "" for synthetic ones. Never in the tar
    labels: tuple[int, ...]  # [L] in {1, 0, -1}

    def to_json(self, pathologies: Sequence[str]) -> bytes:
        """The JSON member: the same keys and types in every sample, no null, patient or path."""
        labels = _label_format(tuple(pathologies)) % self.labels
        target = json.dumps(self.target)
        return (
            f'{{"key":"{self.key}","split":"{self.split}","origin":"{self.origin}",'
            f'"target":{target},"draw":{self.draw},"labels":{{{labels}}}}}'
        ).encode()


@lru_cache(maxsize=8)
def _label_format(pathologies: tuple[str, ...]) -> str:
    """The labels' part of a JSON member; %d stands for each label."""
    return ",".join(f"{json.dumps(name).replace('%', '%%')}:%d" for name in pathologies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One row per sample, as columns of equal length N, in the order in which they were sealed."""

    key: npt.NDArray[np.object_]
    split: npt.NDArray[np.object_]  # "train", "val" or "test"
    origin: npt.NDArray[np.object_]  # "real" or "synthetic"
    shard: npt.NDArray[np.object_]  # url of the tar
    offset: npt.NDArray[np.int64]  # first byte of the image member's data in the tar
    size: npt.NDArray[np.int32]  # bytes of the image member
    labels: Labels  # [N, L] in {1, 0, -1}, columns as in Manifest.pathologies
    target: npt.NDArray[np.object_]  # pathology an image was rendered for; "" for real ones
    draw: npt.NDArray[np.int64]  # draw number within the target; -1 for real ones
    patient: npt.NDArray[np.object_]  # salted hash of the patient; "" for synthetic ones

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.key)


def sha256_bytes(data: bytes) -> str:
    """The sha256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_pathologies(pathologies: Sequence[str]) -> None:
    """Raise UsageError unless the names can be columns of an index."""
    for name in pathologies:
        if name in _FIXED_COLUMNS or not _NAME.fullmatch(name):
            raise UsageError(
                f"The pathology name {name!r} cannot be used: take letters, digits and plain signs."
            )
    if len(set(pathologies)) != len(pathologies):
        raise UsageError(f"Pathology names must differ from each other, got {list(pathologies)}.")


# --- paths ---------------------------------------------------------------------------------------


def dataset_root(manifest_path: Path) -> Path:
    """The folder that holds `manifests/`, or the manifest's own folder when it is not in one."""
    folder = manifest_path.absolute().parent
    return folder.parent if folder.name == "manifests" else folder


def index_root(manifest: "Manifest", manifest_path: Path, shards_root: Path | None) -> Path:
    """Where the index lies: with the manifest, or with the shards if they were moved together."""
    own = dataset_root(manifest_path)
    return own if (own / manifest.index.url).is_file() else shards_root or own


def check_url(url: str) -> None:
    """Raise CheckError unless `url` is a plain relative path: no scheme, no `..`, not absolute."""
    path = PurePosixPath(url)
    if not _URL.fullmatch(url) or ".." in path.parts or str(path) != url:
        raise CheckError(
            f"The path {brief(url)} is refused: only plain relative paths are allowed."
        )


def resolve(root: Path, url: str) -> Path:
    """The file that `url` names below `root`; CheckError unless it is plain and stays inside."""
    check_url(url)
    found = root.joinpath(*PurePosixPath(url).parts)
    if not found.resolve().is_relative_to(root.resolve()):
        raise CheckError(f"The path {url!r} leads out of the dataset's root {root}: refused.")
    return found


def write_last(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that it is there whole or not at all (temp file, fsync, rename)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# --- manifest ------------------------------------------------------------------------------------


def load_manifest(path: Path) -> Manifest:
    """The manifest at `path`, every field checked; CheckError says what is wrong with it."""
    try:
        if path.stat().st_size > 64 << 20:
            raise CheckError(f"{path} is larger than any manifest: expected a JSON of a few KB.")
        raw = json.loads(
            path.read_bytes(), parse_constant=_refuse_constant, object_pairs_hook=_unique
        )
    except OSError as error:
        raise CheckError(f"Cannot read the manifest {path}: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise CheckError(f"{path} is not a manifest: it is not valid JSON.") from None
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        found = raw.get("schema") if isinstance(raw, dict) else None
        raise CheckError(f"{path} has schema {brief(found)}; this version reads schema {SCHEMA}.")
    try:
        manifest = _build(raw)
        _check(manifest)
        manifest.to_json()  # what is nested too deeply to be written again is refused here
    except RecursionError:
        raise CheckError(f"{path} is nested too deeply to be a manifest.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise CheckError(f"{path} is not a manifest of schema {SCHEMA}: {error}.") from None
    except UsageError as error:
        raise CheckError(f"{path}: {error}") from None
    return manifest


def save_manifest(manifest: Manifest, path: Path) -> None:
    """Write the manifest last, whole or not at all."""
    _check(manifest)
    write_last(path, manifest.to_json().encode())


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _record(cls: type, raw: Any) -> Any:
    """`cls(**raw)` after checking names and plain types; dataclasses do not check them."""
    expected: dict[str, Any] = {field.name: field.type for field in fields(cls)}
    if not isinstance(raw, dict) or set(raw) != set(expected):
        found = sorted(raw) if isinstance(raw, dict) else raw
        raise ValueError(f"expected the fields {sorted(expected)}, found {brief(found)}")
    for name, kind in expected.items():
        allowed = (int, float) if kind is float else kind
        if isinstance(kind, type) and (
            not isinstance(raw[name], allowed) or isinstance(raw[name], bool)
        ):
            raise ValueError(f"{name} must be {kind.__name__}, found {brief(raw[name])}")
        if kind is int and not 0 <= raw[name] < 1 << 62:
            raise ValueError(f"{name} is out of range: {brief(raw[name])}")
    return cls(**raw)


def _build(raw: dict[str, Any]) -> Manifest:
    plan = dict(raw["plan"])
    plan["targets"] = tuple(_record(TargetCount, target) for target in plan["targets"])
    if [type(number) for number in plan["share"]] != [int, int]:
        raise ValueError(f"the share must be two whole numbers, found {brief(plan['share'])}")
    plan["share"] = tuple(plan["share"])
    for name in ("recipe", "generator", "source", "software"):
        if not isinstance(raw[name], dict):
            raise ValueError(f"{name} must be an object")
    if not isinstance(raw["pathologies"], list) or {*map(type, raw["pathologies"])} != {str}:
        raise ValueError("pathologies must be a list of names")
    built = {
        **raw,
        "pathologies": tuple(raw["pathologies"]),
        "image": _record(ImageSpec, raw["image"]),
        "plan": _record(PlanProof, plan),
        "index": _record(IndexEntry, raw["index"]),
        "shardlist": tuple(_record(ShardEntry, shard) for shard in raw["shardlist"]),
    }
    return cast(Manifest, _record(Manifest, built))


def _check(manifest: Manifest) -> None:
    check_pathologies(manifest.pathologies)
    image = manifest.image
    if image.codec not in CODECS:
        raise CheckError(f"The codec {image.codec!r} is unknown: expected one of {CODECS}.")
    if not (1 <= image.height <= 4096 and 1 <= image.width <= 4096 and 0 <= image.quality <= 100):
        raise CheckError(f"The image geometry {image} is out of range (1–4096 pixels).")
    if not KEY.fullmatch(manifest.name):
        raise CheckError(f"The name {manifest.name!r} must match {KEY.pattern}.")
    urls = set()
    files: list[IndexEntry | ShardEntry] = [manifest.index, *manifest.shardlist]
    for entry in files:
        check_url(entry.url)
        if not _SHA256.fullmatch(entry.sha256):
            raise CheckError(f"{entry.url} has no valid sha256.")
        urls.add(entry.url)
    if len(urls) != 1 + len(manifest.shardlist):
        raise CheckError("A shard is listed twice.")
    for shard in manifest.shardlist:
        if shard.split not in SPLITS or shard.origin not in ORIGINS:
            raise CheckError(f"{shard.url} has unknown split or origin.")
        if shard.origin == "synthetic" and shard.split != "train":
            raise CheckError(f"{shard.url} puts synthetic images into {shard.split}: refused.")
        if not 1 <= shard.nsamples <= shard.filesize // _SMALLEST_SAMPLE:
            raise CheckError(f"{shard.url} cannot hold {shard.nsamples} samples in its size.")
    if manifest.index.rows != sum(shard.nsamples for shard in manifest.shardlist):
        raise CheckError("The index has another number of rows than the shards have samples.")
    if not _NAME.fullmatch(str(manifest.generator.get("name"))):
        raise CheckError("The generator's name is missing or not plain.")
    names = [target.pathology for target in manifest.plan.targets]
    if len({*names}) < len(names) or not {*names} <= {*manifest.pathologies}:
        raise CheckError("The plan's targets are not distinct pathologies of the dataset.")
    if not 0 < manifest.plan.share[0] < manifest.plan.share[1]:
        raise CheckError(f"The plan's share {manifest.plan.share} is no fraction below 1.")
    if broken := manifest.plan.broken():
        raise CheckError(f"The plan's own numbers miss the share for {broken[0].pathology}.")


# --- index ---------------------------------------------------------------------------------------


def _index_schema(pathologies: Sequence[str]) -> Any:
    import pyarrow as pa

    words = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            ("key", pa.string()),
            ("split", words),
            ("origin", words),
            ("shard", words),
            ("offset", pa.int64()),
            ("size", pa.int32()),
            *((name, pa.int8()) for name in pathologies),
            ("target", words),
            ("draw", pa.int64()),
            ("patient", pa.string()),
        ]
    )


def index_bytes(index: Index, pathologies: Sequence[str]) -> bytes:
    """The parquet file of an index: int8 labels, dictionaries for words, deltas for integers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _index_schema(pathologies)
    columns = {name: getattr(index, name) for name in _FIXED_COLUMNS}
    columns |= {name: index.labels[:, i] for i, name in enumerate(pathologies)}
    table = pa.table([pa.array(columns[f.name], type=f.type) for f in schema], schema=schema)
    deltas = dict.fromkeys(("offset", "size", "draw"), "DELTA_BINARY_PACKED")
    deltas |= dict.fromkeys(("key", "patient"), "DELTA_BYTE_ARRAY")
    words = ["split", "origin", "shard", "target", *pathologies]
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", use_dictionary=words, column_encoding=deltas)
    return sink.getvalue()


def load_index(manifest: Manifest, root: Path) -> Index:
    """The sealed index, in sealed order; CheckError unless it agrees with the manifest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = resolve(root, manifest.index.url)
    if not path.is_file():
        raise CheckError(f"The index {manifest.index.url} is missing under {root}.")
    rows = manifest.index.rows
    if rows > _MOST_ROWS or path.stat().st_size > _MOST_ROW_BYTES * (rows + 100):
        raise CheckError(f"{path} is too large for an index of {rows:,} rows.")
    if sha256_file(path) != manifest.index.sha256:
        raise CheckError(f"The index {manifest.index.url} is not the one sealed: sha256 differs.")
    try:
        if (found := pq.read_metadata(path).num_rows) != rows:
            raise CheckError(f"{path} has {found} rows, the manifest says {rows}.")
        expected = _index_schema(manifest.pathologies)
        if not pq.read_schema(path).equals(expected):
            raise CheckError(
                f"The index {manifest.index.url} has other columns than schema 1 asks."
            )
        table = _read_table(path)
        columns = {
            name: table[name].cast(pa.string()).to_numpy()
            if pa.types.is_dictionary(table[name].type)
            else table[name].to_numpy()
            for name in expected.names
        }
    except pa.ArrowException as error:
        raise CheckError(f"The index {manifest.index.url} is not readable: {error}.") from None
    labels = np.stack([columns.pop(name) for name in manifest.pathologies], axis=1)
    index = Index(labels=labels, **columns)
    _check_index(index, manifest)
    return index


def _read_table(path: Path) -> Any:
    """The table, once no cell is long: a few bytes of parquet can stand for gigabytes of text."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024, columns=["key", "patient"]):
            if max(pc.max(pc.binary_length(column)).as_py() or 0 for column in batch) > 100:
                raise CheckError(f"{path} has a key or a patient of more than 100 bytes.")
    table = pq.read_table(path, partitioning=None)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            raise CheckError(f"{path} has no value in some row of column {name}.")
    return table


def _check_index(index: Index, manifest: Manifest) -> None:
    where = manifest.index.url
    if len(set(index.key)) != len(index):
        raise CheckError(f"{where} holds a key twice.")
    if bad := next((key for key in index.key if not KEY.fullmatch(str(key))), None):
        raise CheckError(f"{where} holds the key {bad!r}: keys match {KEY.pattern}.")
    if not np.isin(index.labels, (-1, 0, 1)).all():
        raise CheckError(f"{where} holds a label outside 1, 0, -1.")
    start = 0
    for shard in manifest.shardlist:
        rows = slice(start, start + shard.nsamples)
        start = rows.stop
        if not (
            (index.shard[rows] == shard.url).all()
            and (index.split[rows] == shard.split).all()
            and (index.origin[rows] == shard.origin).all()
        ):
            raise CheckError(f"{where} and the manifest disagree about the samples of {shard.url}.")
        if (
            index.size[rows].min() < 1
            or index.size[rows].max() > manifest.image.max_bytes
            or index.offset[rows].min() < 512
            or (index.offset[rows] > shard.filesize - index.size[rows]).any()
        ):
            raise CheckError(f"{where} points outside of {shard.url} or at an oversized image.")


# --- shards --------------------------------------------------------------------------------------


def check_shard(shard: ShardEntry, root: Path) -> Path:
    """The path of a shard whose size and sha256 agree with the manifest; else CheckError."""
    path = resolve(root, shard.url)
    if not path.is_file():
        raise CheckError(f"The shard {shard.url} is missing under {root}.")
    if (size := path.stat().st_size) != shard.filesize:
        raise CheckError(f"{shard.url} has {size} bytes, the manifest says {shard.filesize}.")
    if sha256_file(path) != shard.sha256:
        raise CheckError(f"{shard.url} is not the shard that was sealed: its sha256 differs.")
    return path


def decode_image(data: bytes, image: ImageSpec, out: Bytes | None = None) -> Bytes:
    """uint8 [H, W] pixels of one image member, into `out` if given; ValueError if it is not one.

    The size is read from the header and refused before any pixel is decoded.
    """
    shape = (image.height, image.width)
    if image.codec == "jpg":
        import simplejpeg

        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if (height, width) != shape or colours.lower() != "gray":
            found = f"{height}×{width} {colours}"
            raise ValueError(f"found {found}, expected {shape[0]}×{shape[1]} 8-bit grey")
        buffer = None if out is None else out[:, :, None]
        pixels = cast(Bytes, simplejpeg.decode_jpeg(data, "GRAY", buffer=buffer))[:, :, 0]
        return pixels if out is None else out
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if (picture.height, picture.width) != shape or picture.mode != "L":
                found = f"{picture.height}×{picture.width} {picture.mode}"
                raise ValueError(f"found {found}, expected {shape[0]}×{shape[1]} 8-bit grey")
            pixels = np.asarray(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's refusals
        raise ValueError(str(error)) from None
    if out is None:
        return pixels
    out[:] = pixels
    return out
