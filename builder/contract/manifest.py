"""The manifest, `manifests/NAME.json`: load, save, check. It exists = the dataset is complete."""

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from reprlib import repr as brief  # a stranger's value may be megabytes long, or escape codes
from typing import Any, cast

from builder.contract.errors import CheckError, Refusal
from builder.contract.image import CODECS, ImageSpec
from builder.contract.names import KEY, NAME, ORIGINS, SCHEMA, SPLITS, check_pathologies
from builder.contract.paths import check_url, sha256_bytes, write_last
from builder.contract.shard import SMALLEST_SAMPLE, ShardEntry

_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    lower_bound: int  # proven lower bound on `synthetic`; equal to it = the plan is optimal
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


def load_manifest(path: Path) -> Manifest:
    """The manifest at `path`, every field checked; CheckError says what is wrong with it."""
    try:
        if path.exists() and not path.is_file():
            raise CheckError(f"{path} is not a file.")
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
    except Refusal as error:
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
        if not 1 <= shard.nsamples <= shard.filesize // SMALLEST_SAMPLE:
            raise CheckError(f"{shard.url} cannot hold {shard.nsamples} samples in its size.")
    if manifest.index.rows != sum(shard.nsamples for shard in manifest.shardlist):
        raise CheckError("The index has another number of rows than the shards have samples.")
    if not NAME.fullmatch(str(manifest.generator.get("name"))):
        raise CheckError("The generator's name is missing or not plain.")
    names = [target.pathology for target in manifest.plan.targets]
    if len({*names}) < len(names) or not {*names} <= {*manifest.pathologies}:
        raise CheckError("The plan's targets are not distinct pathologies of the dataset.")
    if not 0 < manifest.plan.share[0] < manifest.plan.share[1]:
        raise CheckError(f"The plan's share {manifest.plan.share} is no fraction below 1.")
    if broken := manifest.plan.broken():
        raise CheckError(f"The plan's own numbers miss the share for {broken[0].pathology}.")
