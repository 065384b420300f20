"""The manifest, `manifests/NAME.json`: load, save, check. It exists = the dataset is complete."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from builder.contract.errors import CheckError, Refusal, printable
from builder.contract.image import ImageSpec
from builder.contract.names import (
    KEY,
    NAME,
    SCHEMA,
    SCHEMAS,
    check_pathologies,
)
from builder.contract.new_file import write_last
from builder.contract.paths import check_url, sha256_bytes
from builder.contract.record import (
    Count,
    Sha256,
    as_record,
    is_bearable,
    parse_json,
    read_bytes,
    to_json,
)
from builder.contract.shard import MIN_SAMPLE_BYTES, ShardEntry

MAX_SHARDS = 50_000  # that are built for one manifest: more than 60,000 make a file too large


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """The parquet index: `url` is relative to the root."""

    url: str
    rows: Count
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCount:
    """A target's numbers in the training set: `positives` includes the `render`ed images'."""

    pathology: str
    real_positives: Count
    render: Count
    positives: Count
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProof:
    """The promise, checkable in integers: share[1]·positives ≥ share[0]·(real + synthetic)."""

    share: tuple[Count, Count]
    real: Count
    synthetic: Count
    lower_bound: Count  # proven, on `synthetic`; where they are equal the plan is optimal
    targets: tuple[TargetCount, ...]

    def broken(self) -> list[TargetCount]:
        """The targets whose share does not hold."""
        numerator, denominator = self.share
        total = self.real + self.synthetic
        return [t for t in self.targets if denominator * t.positives < numerator * total]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `xtrain --shards` reads; `digest` names exactly this dataset.

    A dataset of real images alone (`xbuild pack`) has neither a plan nor a generator.
    """

    schema: Literal[1, 2]
    name: str
    pathologies: tuple[str, ...]
    image: ImageSpec
    recipe: dict[str, Any]
    plan: PlanProof | None
    generator: dict[str, Any] | None
    source: dict[str, Any]
    software: dict[str, str]
    index: IndexEntry
    shardlist: tuple[ShardEntry, ...]

    def to_json(self) -> str:
        """The manifest file's text, the same for the same manifest; in its own schema."""
        if self.schema == SCHEMA:
            return to_json(self)
        return to_json(_with_plan(asdict(self), "lower_bound", "fewest"))

    @property
    def digest(self) -> str:
        """sha256 of `to_json()`, hence of the file as written."""
        return sha256_bytes(self.to_json().encode())

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the plan's targets."""
        return tuple(target.pathology for target in self.plan.targets) if self.plan else ()

    @property
    def dataset(self) -> str:
        """The kind of label table it was built from, such as chexpert; "" where it is unknown."""
        return str(self.source.get("dataset", ""))

    @property
    def regime(self) -> str | None:
        """Per cent of the training patients, as in the recipe; None where it is unknown."""
        found = self.recipe.get("regime")
        return None if found is None else str(found)

    @property
    def uncertain(self) -> str:
        """The policy for uncertain labels: ones, zeros or mask."""
        return str(self.recipe.get("uncertain", "ones"))

    @property
    def vectors(self) -> str:
        """What the labels of a synthetic image are: lp, those of a real one that has its target;
        alone, the target and nothing else; or both, where datasets were merged. "" without any.
        """
        return "" if self.real_only else str(self.recipe.get("vectors", "lp"))

    @property
    def generator_name(self) -> str:
        """The name of the generator; "" where there are real images alone."""
        return str(self.generator["name"]) if self.generator else ""

    @property
    def real_only(self) -> bool:
        """Whether it was built without a generator."""
        return self.generator is None


def load_manifest(path: Path) -> Manifest:
    """The manifest at `path`, every field checked; CheckError says what is wrong with it."""
    return parse_manifest(read_bytes(path), str(path))


def parse_manifest(data: bytes, what: str) -> Manifest:
    """The same of a file's bytes, which `what` names."""
    raw = parse_json(data, what)
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if isinstance(schema, bool) or schema not in SCHEMAS:
        found = printable(repr(schema))
        known = " and ".join(map(str, SCHEMAS))
        raise CheckError(f"{what} has schema {found}; this version reads schema {known}.")
    if schema == 1:
        raw = _with_plan(raw, "fewest", "lower_bound")
    manifest = as_record(raw, Manifest, f"{what} (a manifest of schema {schema})")
    try:
        _check(manifest)
    except Refusal as error:
        raise CheckError(f"{what}: {error}") from None
    return manifest


def save_manifest(manifest: Manifest, path: Path) -> None:
    """Write the manifest last, complete or not at all.

    CheckError for one that nothing could read again.
    """
    _check(manifest)
    data = manifest.to_json().encode()
    if not is_bearable(data):
        raise CheckError(
            f"{path} would have {len(data):,} bytes for {len(manifest.shardlist):,} shards, and no "
            f"reader takes so many: make fewer of them, at most {MAX_SHARDS:,}, by a larger "
            "--shard-size."
        )
    write_last(path, data)


def _with_plan(raw: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """The manifest's fields with the plan's field `old` called `new`: schema 2 renamed one."""
    plan = raw.get("plan")
    if not isinstance(plan, dict):
        return raw
    return {**raw, "plan": {new if name == old else name: plan[name] for name in plan}}


def _check(manifest: Manifest) -> None:
    check_pathologies(manifest.pathologies)
    if not KEY.fullmatch(manifest.name):
        raise CheckError(f"The name {printable(repr(manifest.name))} must match {KEY.pattern}.")
    _check_files(manifest)
    if manifest.schema == 1 and (manifest.plan is None or manifest.generator is None):
        raise CheckError("A manifest of schema 1 has a plan and a generator.")
    if manifest.generator and not NAME.fullmatch(str(manifest.generator.get("name"))):
        raise CheckError("The generator's name is missing or not plain.")
    if (manifest.plan is None) != (manifest.generator is None):
        raise CheckError("A plan and a generator belong together: one of them is missing.")
    synthetic = any(shard.origin == "synthetic" for shard in manifest.shardlist)
    if manifest.plan is None:
        if synthetic:
            raise CheckError("There are synthetic images and no plan that they follow.")
    else:
        _check_plan(manifest.plan, manifest.pathologies)


def _check_files(manifest: Manifest) -> None:
    urls = {manifest.index.url, *(shard.url for shard in manifest.shardlist)}
    for url in (manifest.index.url, *(shard.url for shard in manifest.shardlist)):
        check_url(url)
    if len(urls) != 1 + len(manifest.shardlist):
        raise CheckError("A shard is listed twice.")
    if not manifest.shardlist:
        raise CheckError("It lists no shard, so there is no image.")
    for shard in manifest.shardlist:
        if shard.origin == "synthetic" and shard.split != "train":
            raise CheckError(f"{shard.url} puts synthetic images into {shard.split}: refused.")
        if not 1 <= shard.nsamples <= shard.filesize // MIN_SAMPLE_BYTES:
            raise CheckError(f"{shard.url} cannot hold {shard.nsamples} samples in its size.")
    if manifest.index.rows != sum(shard.nsamples for shard in manifest.shardlist):
        raise CheckError("The index has another number of rows than the shards have samples.")


def _check_plan(plan: PlanProof, pathologies: tuple[str, ...]) -> None:
    names = [target.pathology for target in plan.targets]
    if len({*names}) < len(names) or not {*names} <= {*pathologies}:
        raise CheckError("The plan's targets are not distinct pathologies of the dataset.")
    if not plan.real + plan.synthetic:
        raise CheckError("The plan is one of no image at all, so it has no share.")
    if not 0 < plan.share[0] < plan.share[1]:
        raise CheckError(f"The plan's share {plan.share} is no fraction between 0 and 1.")
    if broken := plan.broken():
        raise CheckError(f"The plan's own numbers miss the share for {broken[0].pathology}.")
