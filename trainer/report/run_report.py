"""What one run found, as its report.json holds it → RunReport.

The annotations are the schema: a run's folder may be a stranger's, and what does not fit is refused
with a sentence that says what was found.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from builder.contract import KEY, CheckError, ImageSpec, PlanProof, UsageError, printable
from builder.contract.record import Count, Sha256, as_record, parse_json, read_bytes
from trainer.arms import Controls, parse_mix
from trainer.fit.run_folder import RunFolder
from trainer.recipe import ArmName, RunConfig

EARLIER = ("manifest", "build", "plan", "image", "controls", "config", "command", "software")
REGIME = re.compile(r"(?=.*[1-9])[0-9]{1,3}(\.[0-9]{1,9})?")  # per cent, not 0
# control characters, those that reverse the direction of writing, and halves of letters
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

DatasetName = Annotated[str, Meta(pattern=rf"^({KEY.pattern})\Z")]
EpochNumber = Annotated[int, Meta(ge=1, lt=1 << 62)]
Description = dict[str, object]  # what a generator or a label table says of itself: any JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRef:
    """Which dataset."""

    name: DatasetName
    digest: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Images that an epoch shows, the mean over epochs."""

    real: float
    synthetic: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitScore:
    """What a split says about one pathology; `missing` says why a figure is missing."""

    positives: Count
    negatives: Count
    unknown: Count
    auc: float | None
    low: float | None  # 95 % interval of the AUC
    high: float | None
    average_precision: float | None  # on test, as the next two
    calibration_error: float | None  # expected, in [0, 1]
    sensitivity: float | None  # at a specificity of 90 %
    missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathologyReport:
    """One pathology: what the run trained on, and its scores."""

    pathology: str
    target: bool  # of the plan
    train_real: Count  # different positive images that the arm shows
    train_synthetic: Count
    shown: float  # positives in an epoch, mean
    val: SplitScore
    test: SplitScore | None  # None: the dataset has no test images


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What report.json of a run holds; targets of the plan come first in `pathologies`."""

    manifest: ManifestRef
    build: Description  # the dataset's recipe
    plan: PlanProof | None  # None: the dataset has real images alone
    image: ImageSpec
    generator: Description | None
    source: Description  # the label table
    controls: Sha256  # the same for datasets that differ in their synthetic pixels alone
    images: dict[str, Count]  # by split and origin, such as `train real`
    arm: ArmName
    steps: Count
    shown: Shown
    unread: Count  # images of val and test
    epochs: EpochNumber
    best_epoch: EpochNumber
    best_val_auc_mean: float | None  # None: no pathology has both classes in val
    best_val_loss: float
    pathologies: tuple[PathologyReport, ...]
    software: dict[str, str]  # versions
    notes: tuple[str, ...]
    command: str
    config: RunConfig
    real: Sha256 | None = None  # the same for datasets of the same real images; not in early ones

    @property
    def shared(self) -> Controls:
        """What its dataset's controls depend on."""
        synthetic = self.images.get("train synthetic", 0)
        return Controls(drawn=self.controls, real=self.real, synthetic=synthetic)

    @property
    def targets(self) -> tuple[str, ...]:
        """The plan's targets, in its order."""
        return tuple(target.pathology for target in self.plan.targets) if self.plan else ()

    @property
    def regime(self) -> str | None:
        """The share of the training patients in per cent, where the dataset has one."""
        return text_of(self.build, "regime")

    @property
    def label_table(self) -> str | None:
        """The kind of the dataset's label table, such as chexpert."""
        return text_of(self.source, "dataset")

    @property
    def generator_name(self) -> str | None:
        """The generator of its synthetic images; None where it has real images alone."""
        return text_of(self.generator, "name")


def load_report(folder: Path) -> RunReport:
    """The report of the run in a folder, every field checked.

    UsageError where there is none or an earlier version wrote it, CheckError where it is damaged.
    """
    path = RunFolder(folder).report
    if not path.is_file():
        raise UsageError(f"{folder} holds no complete run of xtrain: it has no {path.name}.")
    raw = read_facts(path)
    if isinstance(raw, dict):
        _check_version(raw, path)
    report = as_record(raw, RunReport, str(path), exact=False)
    if wrong := next(_faults(report), None):
        raise CheckError(f"{path} is refused: {wrong}.")
    return report


def read_facts(path: Path) -> object:
    """The JSON of a file; CheckError where a text in it has control characters."""
    raw = parse_json(read_bytes(path), str(path))
    if found := next((text for text in _texts(raw) if UNSEEN.search(text)), None):
        raise CheckError(f"{path} is refused: {printable(found)!r} has control characters.")
    return raw


def text_of(facts: Mapping[str, object] | None, name: str) -> str | None:
    """The text of that name, None where there is none."""
    found = (facts or {}).get(name)
    return found if isinstance(found, str) else None


def shown_as(generator: Description | None) -> str:
    """How a generator shows pathologies by other labels; "" if it does not.

    It stands in the manifest as label_map, from the pathology to the generator's label.
    """
    found = (generator or {}).get("label_map")
    pairs = found.items() if isinstance(found, dict) else ()
    return ", ".join(f"{pathology} as {label}" for pathology, label in sorted(pairs))


def _check_version(raw: dict[str, object], path: Path) -> None:
    plan = raw.get("plan")
    missing = [name for name in EARLIER if name not in raw]
    missing += ["plan.lower_bound"] * (isinstance(plan, dict) and "fewest" in plan)
    if missing:
        raise UsageError(
            f"{path} was written by an earlier version (it has no {missing[0]}): run xtrain"
            f" evaluate {path.parent} first."
        )


def _faults(report: RunReport) -> Iterator[str]:
    """What the schema cannot say, one sentence for each fault."""
    config, plan, regime = report.config, report.plan, report.build.get("regime")
    try:
        parse_mix(config.recipe.mix)
    except UsageError:
        yield f"config.mix {printable(config.recipe.mix)!r} is no mix"
    if regime is not None and not (isinstance(regime, str) and REGIME.fullmatch(regime)):
        yield f"build.regime {printable(repr(regime))} is no share in per cent"
    if report.arm != config.recipe.arm:
        yield f"its arm is {report.arm}, but config.arm is {config.recipe.arm}"
    if report.best_epoch > report.epochs:
        yield f"best_epoch is {report.best_epoch}, but there are only {report.epochs} epochs"
    names = [row.pathology for row in report.pathologies]
    yield from _repeated("pathologies", names)
    yield from _repeated("plan.targets", report.targets)
    if strange := [name for name in report.targets if name not in names]:
        yield f"the plan's target {printable(strange[0])!r} is not among its pathologies"
    if plan and not plan.real + plan.synthetic:
        yield "its plan is one of no image at all"
    if plan and not 0 < plan.share[0] < plan.share[1]:
        yield f"plan.share {list(plan.share)} is no fraction between 0 and 1"


def _repeated(where: str, names: list[str] | tuple[str, ...]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{printable(name)!r} occurs twice in {where}"


def _texts(found: object) -> Iterator[str]:
    """Every text in a value of JSON, the names of fields included."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict):
        yield from found
        found = [*found.values()]
    for part in found if isinstance(found, list) else ():
        yield from _texts(part)
