"""A run as asked for → Request; the same run, resolved on its dataset → RunPlan."""

import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from builder.contract import Manifest, UsageError, sha256_file
from builder.contract.networks import DENSENET, check_size
from builder.contract.precision import AskedPrecision, Precision
from builder.store import Cache
from trainer.arms import default_arm, parse_mix
from trainer.evaluate.external import ExternalTest
from trainer.fit.devices import device_facts
from trainer.fit.fabric import Fabric
from trainer.fit.run_folder import RunFolder
from trainer.fit.track import TrackerName
from trainer.fit.trial import fastest
from trainer.recipe import (
    CONFIG,
    ArmName,
    Augment,
    Optimizer,
    Recipe,
    RunConfig,
    Schedule,
    Steps,
    plain_number,
    read_config,
)
from trainer.stream.locate import Located, locate


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a run may use of this machine; this decides the speed, not the result."""

    device: str
    workers: int  # decode threads
    ram_bytes: int  # for decoded images that are kept in memory
    cache: Cache  # for shards that are fetched
    save_every: float  # seconds
    track: tuple[TrackerName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to train and score, apart from the dataset, the arm and the folder."""

    epochs: int
    batch: int
    lr: float
    optimizer: Optimizer
    augment: Augment
    mix: str  # as arms.parse_mix reads it
    steps: Steps
    init: str
    seed: int
    precision: AskedPrecision
    accumulate: int
    compile: bool
    skip_bad: bool  # images that cannot be read are counted, instead of ending the run
    min_positives: int  # that a pathology needs in test to get figures
    machine: Machine
    sync_batchnorm: bool = False
    network: str = DENSENET
    synthetic_weight: float = 1.0
    schedule: Schedule = "constant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run as asked for; None: the dataset decides."""

    shards: str  # the manifest, a file or URL
    shards_root: str | None  # where the paths of its shards start; None: above manifests/
    arm: ArmName | None
    out: Path | None
    resume: bool  # the run may continue an earlier one in `out`
    settings: Settings

    def locate(self) -> Located:
        """The dataset."""
        return locate(self.shards, self.shards_root, self.settings.machine.cache)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """One run, every default resolved."""

    recipe: Recipe
    out: Path
    shards: str  # this field and the next four: as in Request and Settings
    shards_root: str | None
    skip_bad: bool
    resume: bool
    min_positives: int
    machine: Machine
    tests: tuple[ExternalTest, ...] = ()  # other datasets that its best weights are scored on

    @property
    def command(self) -> str:
        """The command that repeats the run."""
        where = {"shards": self.shards, "shards-root": self.shards_root, "out": self.out}
        recipe = asdict(self.recipe)
        flags = ["--compile"] if recipe.pop("compile") else []
        flags += ["--sync-batchnorm"] if recipe.pop("sync_batchnorm") else []
        if (weight := recipe.pop("synthetic_weight")) != 1:
            recipe["synthetic-weight"] = weight
        flags += ["--skip-bad"] if self.skip_bad else []
        how = {"device": self.machine.device, "workers": self.machine.workers}
        options = {n: value for n, value in (where | recipe | how).items() if value is not None}
        return shlex.join(
            ["xtrain", *(f"--{name}={value}" for name, value in options.items()), *flags]
        )

    def locate(self) -> Located:
        """The dataset."""
        return locate(self.shards, self.shards_root, self.machine.cache)


def resolve(request: Request, manifest: Manifest, *, suffix: str = "") -> RunPlan:
    """The run on that dataset, with the arm that suits it and a folder where none was asked for.

    `suffix` ends the name of that folder. UsageError where the precision is still `auto`: runs that
    are compared must not differ in it by chance.
    """
    arm, asked = request.arm or default_arm(manifest), request.settings
    if asked.precision == "auto":
        raise UsageError(
            "--precision auto may choose differently on another day or machine, and these runs are"
            " compared: name one, such as bf16."
        )
    return RunPlan(
        recipe=Recipe(
            epochs=asked.epochs,
            batch=asked.batch,
            lr=asked.lr,
            optimizer=asked.optimizer,
            arm=arm,
            augment=arm if arm in ("flip", "radiograph") else asked.augment,
            mix=_one_spelling(asked.mix),
            steps=asked.steps,
            init=asked.init,
            seed=asked.seed,
            precision=asked.precision,
            accumulate=asked.accumulate,
            compile=asked.compile,
            sync_batchnorm=asked.sync_batchnorm,
            network=asked.network,
            synthetic_weight=asked.synthetic_weight,
            schedule=asked.schedule,
        ),
        out=_out(request, manifest, suffix),
        shards=request.shards,
        shards_root=request.shards_root,
        skip_bad=asked.skip_bad,
        resume=request.resume,
        min_positives=asked.min_positives,
        machine=asked.machine,
    )


def with_precision(request: Request, manifest: Manifest) -> Request:
    """The same run; for `auto` with the precision of the run that it resumes, or the fastest one.

    UsageError where the device is not available.
    """
    settings = request.settings
    if settings.precision != "auto":
        return request
    folder, image = _out(request, manifest), manifest.image
    precision: Precision
    if request.resume and (folder / CONFIG).is_file():
        precision = read_config(folder).recipe.precision
    else:
        check_size(settings.network, image.height, image.width)
        precision = fastest(
            settings.machine.device,
            settings.network,
            height=image.height,
            width=image.width,
            outputs=len(manifest.pathologies),
            batch=settings.batch,
        )
    return replace(request, settings=replace(settings, precision=precision))


def _out(request: Request, manifest: Manifest, suffix: str = "") -> Path:
    arm = request.arm or default_arm(manifest)
    return request.out or Path("runs") / f"{manifest.name}-{arm}{suffix}"


def describe(plan: RunPlan, manifest: Manifest, fabric: Fabric) -> RunConfig:
    """What config.json holds of the run; of one that goes on, the weights that it began with."""
    folder = RunFolder(plan.out)
    begun = plan.resume and folder.is_begun() and folder.config.is_file()
    return RunConfig(
        manifest=manifest.name,
        manifest_sha256=manifest.digest,
        shards=plan.shards,
        shards_root=plan.shards_root,
        out=str(plan.out),
        init_sha256=read_config(plan.out).init_sha256 if begun else init_digest(plan.recipe.init),
        device=fabric.device.type,
        ranks=fabric.world_size,
        workers=plan.machine.workers,
        skip_bad=plan.skip_bad,
        **(asdict(plan.recipe) | device_facts(fabric.device)),
    )


def init_digest(init: str) -> str | None:
    """The sha256 of the file that --init names; None where it names none."""
    path = Path(init)
    return sha256_file(path) if path.is_file() else None


def as_trained(plan: RunPlan) -> tuple[RunConfig, str]:
    """What the run in `plan.out` noted of its training, and the command that repeats it.

    Scoring may happen on another machine than training. Only the paths are those of `plan`.
    """
    noted = replace(
        read_config(plan.out),
        shards=plan.shards,
        shards_root=plan.shards_root,
        out=str(plan.out),
    )
    machine = replace(plan.machine, device=noted.device, workers=noted.workers)
    command = replace(plan, machine=machine, skip_bad=noted.skip_bad).command
    if noted.ranks > 1:
        command = f"torchrun --nproc-per-node={noted.ranks} --no-python {command}"
    return noted, command


def _one_spelling(mix: str) -> str:
    """The mix as every run of it notes it: both origins, weights such as 1 and 0.5."""
    weights = parse_mix(mix).items()
    return ",".join(f"{origin}={plain_number(weight)}" for origin, weight in weights)
