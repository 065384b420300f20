"""What decides the weights of a run, apart from the dataset → Recipe; config.json → RunConfig."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, get_args

from msgspec import Meta

from builder.contract import UsageError
from builder.contract.networks import DENSENET
from builder.contract.precision import Precision
from builder.contract.record import read_record

ArmName = Literal["none", "flip", "gan", "oversample", "pretrain", "classweight", "radiograph"]
Augment = Literal["none", "flip", "radiograph"]
Steps = Literal["equal", "own"]
Optimizer = Literal["adam", "momentum"]
Schedule = Literal["constant", "cosine"]

ARMS: tuple[ArmName, ...] = get_args(ArmName)
AUGMENTS: tuple[Augment, ...] = get_args(Augment)
STEPS: tuple[Steps, ...] = get_args(Steps)
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

CONFIG = "config.json"  # its name in the folder of a run

Positive = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What decides the weights of a run, apart from the dataset; every default is resolved."""

    epochs: Positive
    batch: Annotated[int, Meta(ge=2)]  # images per step, all ranks together
    lr: Annotated[float, Meta(gt=0)]
    optimizer: Optimizer
    arm: ArmName
    augment: Augment
    mix: str  # as arms.parse_mix reads it
    steps: Steps
    init: str  # random, imagenet or a path
    seed: Annotated[int, Meta(ge=0)]
    precision: Precision
    accumulate: Positive  # pieces in which a rank's share of a batch goes through the network
    compile: bool
    sync_batchnorm: bool = False  # batch statistics of all ranks together
    network: str = DENSENET  # its name
    synthetic_weight: Annotated[float, Meta(gt=0)] = 1.0  # of a synthetic image's loss
    schedule: Schedule = "constant"  # of the learning rate

    @property
    def can_go_on(self) -> bool:
        """Whether more epochs continue the run, and change nothing in the earlier ones.

        `pretrain` gives a share of all its epochs to synthetic images; a rate that falls is 0 in
        the end.
        """
        return self.arm != "pretrain" and self.schedule == "constant"

    @property
    def weighting(self) -> str:
        """How an arm of that weight is told apart; "" where synthetic images count as real ones."""
        if self.synthetic_weight == 1:
            return ""
        return f"synthetic weight {plain_number(self.synthetic_weight)}"


# What a recipe was before it had the field; so records of runs and sweeps leave it out.
BEFORE: Mapping[str, object] = {
    f.name: f.default for f in fields(Recipe) if f.default is not MISSING
}


def but_for_before(recipe: Recipe) -> dict[str, object]:
    """The fields of a recipe that are not as in BEFORE."""
    return {name: value for name, value in asdict(recipe).items() if value != BEFORE.get(name)}


def plain_number(value: float) -> str:
    """All digits of a weight, such as 1 or 0.5."""
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig(Recipe):
    """What config.json holds of a run: first its recipe, then its dataset and its machine."""

    manifest: str  # the dataset's name
    manifest_sha256: str
    shards: str  # the manifest, a file or URL
    shards_root: str | None
    out: str
    init_sha256: str | None  # of the file that --init names
    device: str  # its type
    ranks: Positive
    workers: Positive
    skip_bad: bool
    card: str = ""  # the name of the GPU; "" on a CPU, and in runs from before it was noted
    torch: str = ""  # versions: of this, and of cuDNN where a GPU trains
    cudnn: str = ""

    @property
    def recipe(self) -> Recipe:
        """Its fields that decide the weights, as a record of their own."""
        return Recipe(**{f.name: getattr(self, f.name) for f in fields(Recipe)})


def read_config(run: Path) -> RunConfig:
    """The config.json of the run in the folder `run`; UsageError where there is no run."""
    path = run / CONFIG
    if not path.is_file():
        raise UsageError(f"{run} holds no run of xtrain: it has no {CONFIG}.")
    return read_record(path, RunConfig, exact=False)
