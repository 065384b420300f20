"""What the runs on one dataset say together: arms, their differences, subgroups, conclusions.

These records are the schema of report.json (`comparison_report`). A figure that could not be
computed is None, and `missing` says why.
"""

from dataclasses import dataclass
from typing import Literal

from builder.contract import ImageSpec, PlanProof
from builder.contract.record import Count, Sha256
from trainer.recipe import ArmName, RunConfig
from trainer.report.run_report import Description, Shown, text_of

Verdict = Literal["helped", "hurt", "better", "worse", "no evidence", "one seed", "no verdict"]
Judgement = Verdict | Literal["no control"]  # of a target: no control arm was trained
CarriesOver = Literal["carries over", "no evidence", "reversed", "no gain"]
Setting = str | int | float | bool | None  # of a recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class AucEstimate:
    """An AUC with its 95 % interval."""

    value: float
    low: float | None  # None, as the fields below, where the test images do not determine it
    high: float | None
    error: float | None  # standard error
    degrees: float | None  # of freedom
    seed_share: float | None  # share of the variance that the seeds add


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """The images of all seeds in one bin of predicted probability."""

    images: Count
    predicted: float  # mean probability
    observed: float  # share of positives


@dataclass(frozen=True, slots=True, kw_only=True)
class PathologyFigures:
    """What the test images say of one arm and pathology; all but the AUC are means over seeds."""

    missing: str | None  # why there is no figure, or no interval
    auc: AucEstimate | None = None
    auc_of_seeds: tuple[float, ...] = ()
    average_precision: float | None = None
    calibration_error: float | None = None
    sensitivity: float | None = None  # at settings.specificity
    reliability: tuple[ReliabilityBin, ...] = ()
    roc: tuple[float, ...] = ()  # sensitivity at evenly spaced false positive rates, 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """One run of an arm."""

    seed: Count
    folder: str
    command: str
    config: RunConfig
    unread: Count
    best_epoch: Count
    val_auc_mean: float | None  # in the best epoch
    losses: tuple[tuple[float, float], ...]  # train and validation, per epoch
    software: dict[str, str]
    sha256: dict[str, Sha256]  # of its files


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLosses:
    """Losses of the last epoch, means over the seeds."""

    train_loss: float
    val_loss: float
    gap: float  # validation less train


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One arm on one dataset."""

    name: ArmName
    title: str  # the name and what is unusual about it; no other arm of the dataset has it
    lent_by: str | None  # the dataset that it trained on, where that is another one
    modifiers: tuple[str, ...]  # everything unusual about its training, such as `flip`
    recipe: dict[str, Setting]  # what its seeds have in common
    steps: Count
    shown: Shown
    epochs: Count
    last: LastLosses
    runs: tuple[SeedResult, ...]  # by seed
    pathologies: dict[str, PathologyFigures]

    @property
    def unusual(self) -> tuple[str, ...]:
        """What the title adds to the name: modifiers that not every arm of the report has."""
        return tuple(self.title.split(", ")[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The AUC of an arm less that of a control, on one pathology."""

    arm: str  # title
    control: str  # title
    pathology: str
    target: bool
    missing: str | None  # why there is no difference
    value: float | None = None
    low: float | None = None  # 95 % interval
    high: float | None = None
    error: float | None = None
    degrees: float | None = None
    seed_share: float | None = None
    p: float | None = None  # two-sided
    holm: float | None = None  # p adjusted over the targets of the dataset
    verdict: Verdict | None = None  # None: the pathology is no target


@dataclass(frozen=True, slots=True, kw_only=True)
class SubgroupDifference:
    """The AUC of an arm less that of a control, in a subgroup."""

    arm: str
    control: str
    value: float
    low: float | None
    high: float | None
    error: float | None
    degrees: float | None
    seed_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubgroupResult:
    """One target in one group of the test images."""

    group: str  # such as sex
    value: str  # such as female
    pathology: str
    images: Count
    positives: Count
    missing: str | None
    auc: dict[str, AucEstimate]  # by the arm's title
    differences: tuple[SubgroupDifference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What may be said of one target and one arm with synthetic images."""

    pathology: str
    arm: str  # title
    verdict: Judgement
    over_balancing: Verdict | None  # against the same balance of real images
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSize:
    """How much was tested."""

    images: Count
    patients: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCounts:
    """Test images by their label of one pathology."""

    positives: Count
    negatives: Count
    unknown: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalConclusion:
    """What another dataset says of one target and one arm with synthetic images."""

    pathology: str
    arm: str  # title
    verdict: Judgement  # there
    at_home: Judgement  # on the test images of the arm's own dataset
    carries_over: CarriesOver
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalResult:
    """What the arms scored on the test images of another dataset."""

    name: str
    digest: Sha256
    source: Description
    test: SampleSize
    labels: dict[str, str]  # what it calls each pathology that it labels
    left_out: tuple[str, ...]  # pathologies that it does not label
    without: tuple[str, ...]  # arms of which not every run was scored there
    targets: tuple[str, ...]  # those that it labels
    positives: dict[str, LabelCounts]
    arms: dict[str, dict[str, PathologyFigures]]  # by title and pathology
    comparisons: tuple[Comparison, ...]
    conclusions: tuple[ExternalConclusion, ...] = ()
    unread: Count = 0  # images that a run could not read, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetResult:
    """Everything that was found on the test images of one dataset."""

    name: str  # no other dataset of the report has it
    digest: Sha256
    regime: str | None  # per cent
    generator: Description | None
    source: Description
    build: Description
    image: ImageSpec
    images: dict[str, Count]
    plan: PlanProof | None
    targets: tuple[str, ...]
    test: SampleSize
    positives: dict[str, LabelCounts]  # by pathology
    common: tuple[str, ...]  # modifiers of every arm, which no title names
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    subgroups: tuple[SubgroupResult, ...]
    conclusions: tuple[Conclusion, ...] = ()
    audit: tuple[str, ...] = ()  # what xbuild audit found in its images, in sentences
    external: tuple[ExternalResult, ...] = ()
    unscored: tuple[str, ...] = ()  # other test sets on which no arm has all its runs scored

    @property
    def label_table(self) -> str | None:
        """The kind of its label table, such as chexpert."""
        return text_of(self.source, "dataset")

    @property
    def generator_name(self) -> str | None:
        """The generator of its synthetic images; None where it has real images alone."""
        return text_of(self.generator, "name")

    @property
    def uncertain(self) -> str:
        """The policy for uncertain labels."""
        return text_of(self.build, "uncertain") or "ones"
