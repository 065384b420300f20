"""All that a dataset's bytes depend on → Recipe."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from builder.contract import KEY, ImageSpec, Labels, UsageError
from builder.draw import slug
from builder.labels import NO_FINDING, LabelTable, canonical, find_pathology
from builder.plan import MAX_PER_REAL, Plan, plan_balance, rare_targets
from builder.split import REGIMES

IMAGE_SIZE = 224  # pixels on a side that classifiers of radiographs are used to

_REAL_FIELDS = (
    "dataset",
    "labels_sha256",
    "uncertain",
    "views",
    "holdout",
    "seed",
    "image_size",
    "codec",
    "quality",
    "shard_size",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A dataset's recipe; fractions and percentages are kept as the words they were given in."""

    dataset: str
    name: str = ""  # "": gan and the regime
    uncertain: str = "ones"
    views: str = "all"
    holdout: tuple[str, str] = ("0.05", "0.05")  # of the patients: val, test
    seed: int = 0
    regime: str = "100"  # per cent of the training patients
    share: str = "0.15"
    rare_below: str = "0.05"
    targets: tuple[str, ...] = ()  # (): the pathologies below rare_below
    max_per_real: int = MAX_PER_REAL
    real: str = "pack"  # "none": the synthetic images alone
    image_size: int = 0  # 0: the generator's, at most IMAGE_SIZE
    codec: str = "jpg"
    quality: int = 95  # of JPEG; 0 for PNG
    shard_size: int = 4096
    generator: str = ""  # "": nih64 for NIH's labels, else phantom
    options: tuple[str, ...] = ()  # of the generator, NAME=VALUE
    precision: str = "fp32"  # in which the generator computes
    accept: tuple[str, ...] = ()  # what images must pass: NAME or NAME:ARGUMENT
    upsample: bool = False
    labels_sha256: str = ""  # filled in by `resolved`
    generator_sha256: str = ""  # filled in when the generator is loaded

    def resolved(self, table: LabelTable) -> "Recipe":
        """The recipe with every default worked out on the label table."""
        name = self.name or f"gan{self.regime.replace('.', '_')}"
        if not KEY.fullmatch(name) or len(name) > 40 or name == "real" or name.startswith("real-"):
            raise UsageError(
                f"The name {name!r} cannot be used: take up to 40 of a-z, 0-9, _ and -, not 'real'."
            )
        for option in self.options:
            if not option.partition("=")[0] or "=" not in option:
                raise UsageError(f"--generator-option takes NAME=VALUE, got {option!r}.")
        names = [name for name, _ in self.generator_options()]
        if len(set(names)) < len(names) or (self.precision == "fp32" and "precision" in names):
            raise UsageError("--generator-option names an option once, and --precision is its own.")
        targets = _resolve_targets(self, table)
        slugs = [slug(target) for target in targets]
        if len({*slugs}) < len(slugs) or max(map(len, slugs), default=0) > 40:
            raise UsageError(
                f"The targets {', '.join(targets)} do not differ in their first 40 letters and "
                "digits, which go into the keys of their images: rename the columns."
            )
        return replace(
            self,
            name=name,
            generator=self.generator or ("nih64" if self.dataset == "nih" else "phantom"),
            quality=self.quality if self.codec == "jpg" else 0,
            targets=targets,
            labels_sha256=table.sha256,
        )

    @property
    def image(self) -> ImageSpec:
        """Geometry and codec of every image."""
        return ImageSpec(
            height=self.image_size, width=self.image_size, codec=self.codec, quality=self.quality
        )

    def generator_options(self) -> tuple[tuple[str, str], ...]:
        """The generator's options as pairs, the precision among them where it is not usual."""
        pairs = [(name, value) for name, _, value in (o.partition("=") for o in self.options)]
        if self.precision != "fp32":
            pairs.append(("precision", self.precision))
        return tuple(pairs)

    @property
    def train_folder(self) -> str:
        """The folder of the real training shards; the paper's regimes share one."""
        ours = Fraction(self.regime) in REGIMES
        return "real" if ours else f"real-{self.regime.replace('.', '_')}"

    def real_part(self) -> dict[str, Any]:
        """What the real shards depend on."""
        everything = asdict(self)
        return {name: everything[name] for name in _REAL_FIELDS}

    def plan(self, pathologies: Sequence[str], labels: Labels) -> Plan:
        """The plan over the real training images that have these `labels`, int8 [N, L]."""
        return plan_balance(
            labels,
            targets=[list(pathologies).index(name) for name in self.targets],
            share=Fraction(self.share),
            seed=self.seed,
            names=self.targets,
            max_per_real=self.max_per_real,
        )


def _resolve_targets(recipe: Recipe, table: LabelTable) -> tuple[str, ...]:
    if not recipe.targets:
        healthy = [i for i, p in enumerate(table.pathologies) if canonical(p) == NO_FINDING]
        rare = rare_targets(table.labels, below=Fraction(recipe.rare_below), exclude=healthy)
        return tuple(table.pathologies[column] for column in rare)
    found = []
    for name in recipe.targets:
        if (match := find_pathology(name, table.pathologies)) is None:
            raise UsageError(
                f"No pathology is called {name!r}: --target takes one of "
                f"{', '.join(table.pathologies)}."
            )
        found.append(match)
    return tuple(found)
