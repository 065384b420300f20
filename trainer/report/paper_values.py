"""The paper's figures for a dataset; None where they cannot be compared with ours.

Sundaram & Hulkund, "GAN-based Data Augmentation for Chest X-ray Classification", KDD DSHealth
2021. They are of CheXpert's labels with uncertain ones as positive, at regimes 1, 10, 50 and 100 %,
on a split of their own: their patients are not ours, so no difference from them is tested.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from trainer.arms import TREATMENTS
from trainer.recipe import ArmName
from trainer.report.results import DatasetResult

SOURCE = "Sundaram & Hulkund 2021"
PAPER_ARMS: Mapping[ArmName, str] = {  # the paper's word for our arm
    "none": "none",
    "flip": "standard",
    "gan": "GAN",
}
TARGETS = ("Lung Lesion", "Pleural Other", "Fracture")
SHARE = Fraction(3, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Images of a regime."""

    real: int
    rendered: Mapping[str, int]  # per target
    combined: int  # as printed

    @property
    def total(self) -> int:
        """The sum of real and rendered images."""
        return self.real + sum(self.rendered.values())


def _counts(real: int, lesion: int, pleural: int, fracture: int, combined: int) -> Counts:
    rendered = dict(zip(TARGETS, (lesion, pleural, fracture), strict=True))
    return Counts(real=real, rendered=rendered, combined=combined)


def _aucs(none: float, standard: float, gan: float) -> dict[ArmName, float]:
    return dict(zip(PAPER_ARMS, (none, standard, gan), strict=True))


TABLE_1 = {
    1: _counts(2_050, 500, 550, 500, 3_600),
    10: _counts(20_371, 3_500, 4_000, 3_500, 49_829),  # sic: they add up to 31,371
    50: _counts(100_850, 15_000, 17_000, 15_000, 147_850),
    100: _counts(201_391, 30_000, 35_000, 30_000, 296_391),
}
TABLE_2 = {  # test AUC
    (1, "Lung Lesion"): _aucs(0.727, 0.728, 0.758),
    (1, "Pleural Other"): _aucs(0.566, 0.550, 0.594),
    (1, "Fracture"): _aucs(0.583, 0.601, 0.656),
    (10, "Lung Lesion"): _aucs(0.790, 0.796, 0.803),
    (10, "Pleural Other"): _aucs(0.632, 0.655, 0.670),
    (10, "Fracture"): _aucs(0.700, 0.723, 0.742),
    (50, "Lung Lesion"): _aucs(0.826, 0.822, 0.828),
    (50, "Pleural Other"): _aucs(0.710, 0.696, 0.706),
    (50, "Fracture"): _aucs(0.789, 0.780, 0.793),
    (100, "Lung Lesion"): _aucs(0.835, 0.832, 0.834),
    (100, "Pleural Other"): _aucs(0.721, 0.712, 0.727),
    (100, "Fracture"): _aucs(0.811, 0.793, 0.807),
}
FIGURE_4: Mapping[int, Mapping[ArmName, float]] = {  # validation less train loss in the last epoch
    1: {"none": 0.06, "gan": 0.03},
    10: {"none": 0.04, "gan": 0.03},
}


def counts(dataset: DatasetResult) -> Counts | None:
    """The row of Table 1, where the dataset has the paper's share."""
    regime = _regime(dataset)
    return TABLE_1[regime] if regime and _has_its_share(dataset) else None


def aucs(dataset: DatasetResult, pathology: str) -> Mapping[ArmName, float] | None:
    """The row of Table 2, by our names of its arms; `gan` only at the paper's share."""
    return _comparable(dataset, TABLE_2.get((_regime(dataset), pathology)))


def gaps(dataset: DatasetResult) -> Mapping[ArmName, float] | None:
    """The final gaps of Figure 4, by our names of its arms; `gan` only at the paper's share."""
    return _comparable(dataset, FIGURE_4.get(_regime(dataset)))


def _comparable(
    dataset: DatasetResult, values: Mapping[ArmName, float] | None
) -> Mapping[ArmName, float] | None:
    """The values without those of synthetic images, where ours have another share."""
    if values is None or _has_its_share(dataset):
        return values
    return {name: value for name, value in values.items() if name not in TREATMENTS}


def _has_its_share(dataset: DatasetResult) -> bool:
    return dataset.plan is not None and Fraction(*dataset.plan.share) == SHARE


def is_of_phantoms(dataset: DatasetResult) -> bool:
    """Whether our images are phantoms; the paper's AUCs and losses are of radiographs."""
    return dataset.label_table == "demo"


def _regime(dataset: DatasetResult) -> int:
    """The paper's regime with the dataset's labels; 0 where there is none."""
    if dataset.label_table not in ("chexpert", "demo") or dataset.uncertain != "ones":
        return 0
    regime = Fraction(dataset.regime or 0)
    return int(regime) if regime in TABLE_1 else 0
