"""What was asked for, and all that a dataset's bytes depend on → Request, Recipe.

A request is what the user said, None where nothing was said. A recipe has every default resolved:
it goes into the manifest and next to the shards, and the same recipe gives the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from builder.contract import KEY, MAX_SAMPLES, ImageSpec, Labels, UsageError
from builder.contract.image import Codec
from builder.contract.radiograph import Reading, Window
from builder.draw import slug
from builder.labels import NO_FINDING, LabelTable, canonical, find_pathology
from builder.labels.source import TableOptions
from builder.plan import MAX_PER_REAL, Plan, Vectors, plan_balance, rare_targets
from builder.split import REGIMES, SplitBy
from builder.store.destination import Destination

IMAGE_SIZE = 224  # pixels on a side that classifiers of radiographs are used to
QUALITY = 95  # of JPEG

Uncertain = Literal["ones", "zeros", "mask"]
Views = Literal["all", "frontal"]
Real = Literal["pack", "none"]
Precision = Literal["fp32", "tf32", "bf16"]
Batch = Annotated[int, msgspec.Meta(ge=1, lt=10**6)] | Literal["auto"]

# What the options allow, and no manifest of a stranger may exceed.
Number = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,10}(\.[0-9]{1,9})?\Z")]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Side = Annotated[int, msgspec.Meta(ge=16, le=1024)]
Depth = Literal[0, 8, 9, 10, 11, 12, 13, 14, 15, 16]
ShardSize = Annotated[int, msgspec.Meta(ge=1, le=MAX_SAMPLES)]
Positive = Annotated[int, msgspec.Meta(ge=1, lt=1 << 62)]
Words = Annotated[tuple[str, ...], msgspec.Meta(max_length=10_000)]
Few = Annotated[tuple[str, ...], msgspec.Meta(max_length=100)]  # each takes time to be found

UNNOTED: Mapping[str, str | None] = {"vectors": "lp", "device": None}
"""Fields that a recipe does not note where they have this value: recipes of before had none."""

_MAX_NAME = 40  # of a dataset, and of a target in the keys of its images
_REAL_FIELDS = (  # what the shards of real images depend on, whatever the regime
    *("dataset", "labels_sha256", "table", "uncertain", "views", "split", "holdout", "seed"),
    *("image_size", "depth", "window", "upsample", "codec", "quality", "shard_size"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealRequest:
    """The real images that were asked for; None is unset.

    Fractions and percentages are kept as text, so that no binary rounding gets in.
    """

    dataset: str
    labels: Path | None = None
    root: Path | None = None  # folder of the images
    links_to: tuple[Path, ...] = ()  # folders that links in it may lead to
    table: TableOptions = field(default_factory=TableOptions)  # how the table is read
    name: str | None = None
    uncertain: Uncertain = "ones"
    views: Views = "all"
    split: SplitBy = "hash"
    holdout: tuple[Number, Number] = ("0.05", "0.05")  # of the patients: val, test
    seed: Seed = 0
    regime: Number = "100"  # per cent of the training patients
    image_size: Side | None = None
    depth: Depth | None = None  # bits of grey in 16-bit files; 0 or None: not said
    window: Window = "dicom"
    upsample: bool = False  # enlarge real and generated images that are below the image size
    codec: Codec = "jpg"
    shard_size: ShardSize = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSpec:
    """A generator as `builder.generators.find` takes it; processes load it by this."""

    name: str  # NAME, NAME:ARGUMENT or a file
    image_size: int  # a wish: a trained generator has its own
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(RealRequest):
    """The balanced dataset that was asked for; None is unset."""

    targets: Words = ()  # (): the pathologies below rare_below
    share: Number = "0.15"
    rare_below: Number = "0.05"
    max_per_real: Positive = MAX_PER_REAL
    vectors: Vectors = "lp"  # of labels: those of real images with the target, or it alone
    real: Real = "pack"  # none: the synthetic images alone
    generator: str | None = None
    options: Words = ()  # of the generator, NAME=VALUE
    label_map: Words = ()  # PATHOLOGY=LABEL of the generator, which shows it
    precision: Precision = "fp32"  # in which the generator computes
    batch: Batch | None = None  # images per call of the generator; auto: the fastest on a GPU
    checks: Few = ()  # what images must pass: NAME or NAME:ARGUMENT

    def generator_spec(self) -> GeneratorSpec:
        """The generator to load; UsageError where an option of it is unclear."""
        pairs = [(name, value) for name, _, value in (o.partition("=") for o in self.options)]
        for option, (name, _) in zip(self.options, pairs, strict=True):
            if not name or "=" not in option:
                raise UsageError(f"--generator-option takes NAME=VALUE, got {option!r}.")
        if self.precision != "fp32":
            pairs.append(("precision", self.precision))
        names = [name for name, _ in pairs]
        if len({*names}) < len(names) or (self.precision == "fp32" and "precision" in names):
            raise UsageError(
                "--generator-option sets each option once, and the precision is set by --precision."
            )
        return GeneratorSpec(
            name=self.generator or ("nih128" if self.dataset == "nih" else "phantom"),
            image_size=self.image_size or IMAGE_SIZE,
            options=tuple(pairs),
        )

    def plan(self, targets: Sequence[str], pathologies: Sequence[str], labels: Labels) -> Plan:
        """The plan over the real training images that have these `labels`, int8 [N, L]."""
        return plan_balance(
            labels,
            targets=[pathologies.index(name) for name in targets],
            share=Fraction(self.share),
            seed=self.seed,
            names=targets,
            max_per_real=self.max_per_real,
            vectors=self.vectors,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RealRecipe:
    """All that the bytes of a dataset of real images depend on, every default resolved."""

    dataset: str
    table: TableOptions
    name: str
    uncertain: Uncertain
    views: Views
    split: SplitBy
    holdout: tuple[str, str]
    seed: int
    regime: str
    image_size: int
    depth: int  # bits of grey in 16-bit files; 0: not said
    window: Window
    upsample: bool
    codec: Codec
    quality: int  # of JPEG; 0 for PNG
    shard_size: int
    labels_sha256: str

    @property
    def image(self) -> ImageSpec:
        """Geometry and codec of every image."""
        return ImageSpec(
            height=self.image_size, width=self.image_size, codec=self.codec, quality=self.quality
        )

    @property
    def reading(self) -> Reading:
        """How the greys of every image file are read."""
        return Reading(depth=self.depth or None, window=self.window, upsample=self.upsample)

    @property
    def train_folder(self) -> str:
        """The folder of the real training shards; the paper's regimes share one."""
        shared = Fraction(self.regime) in REGIMES
        return "real" if shared else f"real-{_plain(self.regime)}"

    def real_part(self) -> Mapping[str, object]:
        """What the real shards depend on: neither the dataset's name nor its regime."""
        everything = asdict(self)
        return {name: everything[name] for name in _REAL_FIELDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(RealRecipe):
    """All that the bytes of a balanced dataset depend on, every default resolved."""

    share: str
    rare_below: str
    targets: tuple[str, ...]
    max_per_real: int
    vectors: Vectors
    real: Real
    generator: str
    generator_sha256: str
    options: tuple[str, ...]
    label_map: tuple[str, ...]  # PATHOLOGY=LABEL, as the table and the generator spell them
    precision: Precision
    batch: int | None  # images per call on a GPU; None: pixels do not depend on it
    checks: tuple[str, ...]  # their identities

    def noted(self) -> Mapping[str, object]:
        """What goes next to the shards and into the manifest; `batch` only on a GPU.

        `vectors` only where they are not usual, so that usual recipes stay as they were.
        """
        everything = {k: v for k, v in asdict(self).items() if UNNOTED.get(k, ...) != v}
        if self.batch is None:
            del everything["batch"]
        return everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the shards of a dataset have in common."""

    root: Path  # the folder that holds shards/ and manifests/, or in which those to send are made
    pathologies: tuple[str, ...]  # the labels' names, in order
    image: ImageSpec
    destination: Destination | None = None  # where all goes from `root`; None: it stays there

    def manifest(self, name: str) -> Path:
        """The path of the manifest of that name."""
        return self.root / "manifests" / f"{name}.json"

    def shards(self, folder: str) -> Path:
        """The path of a folder of shards."""
        return self.root / "shards" / folder


def resolve_real(request: RealRequest, table: LabelTable) -> RealRecipe:
    """The recipe of the real images alone."""
    return RealRecipe(
        dataset=request.dataset,
        table=request.table,
        name=resolve_name(request.name, "real", request.regime),
        uncertain=request.uncertain,
        views=request.views,
        split=request.split,
        holdout=request.holdout,
        seed=request.seed,
        regime=request.regime,
        image_size=request.image_size or IMAGE_SIZE,
        depth=request.depth or 0,
        window=request.window,
        upsample=request.upsample,
        codec=request.codec,
        quality=QUALITY if request.codec == "jpg" else 0,
        shard_size=request.shard_size,
        labels_sha256=table.sha256,
    )


def resolve_name(name: str | None, stem: str, regime: str) -> str:
    """The dataset's name, by default the stem and the regime; UsageError where it cannot be one."""
    name = f"{stem}{_plain(regime)}" if name is None else name
    if f"{name}-".startswith("real-") or not KEY.fullmatch(name) or len(name) > _MAX_NAME:
        raise UsageError(
            f"The name {name!r} cannot be used: take up to {_MAX_NAME} of a-z, 0-9, _ and -, "
            "neither 'real' nor 'real-' at the beginning."
        )
    return name


def resolve_targets(request: Request, table: LabelTable) -> tuple[str, ...]:
    """The names of the targets in the table, those below `rare_below` where none was asked for."""
    targets = _named(request.targets, table) if request.targets else _rare(request, table)
    slugs = [slug(target) for target in targets]
    if len({*slugs}) < len(slugs) or max(map(len, slugs), default=0) > _MAX_NAME:
        raise UsageError(
            f"The targets {', '.join(targets)} do not differ in their first {_MAX_NAME} letters "
            "and digits, which go into the keys of their images: rename the columns."
        )
    return targets


def _rare(request: Request, table: LabelTable) -> tuple[str, ...]:
    healthy = [i for i, p in enumerate(table.pathologies) if canonical(p) == NO_FINDING]
    rare = rare_targets(table.labels, below=Fraction(request.rare_below), exclude=healthy)
    return tuple(table.pathologies[column] for column in rare)


def _named(names: Sequence[str], table: LabelTable) -> tuple[str, ...]:
    found = []
    for name in names:
        if (match := find_pathology(name, table.pathologies)) is None:
            raise UsageError(
                f"No pathology is called {name!r}: --target takes one of "
                f"{', '.join(table.pathologies)}."
            )
        if match in found:
            raise UsageError(f"--target names {match} twice: leave one of them out.")
        found.append(match)
    return tuple(found)


def _plain(regime: str) -> str:
    """The regime as it stands in names."""
    return regime.replace(".", "_")
