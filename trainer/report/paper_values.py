"""The paper's figures beside a dataset of report.json; None where they cannot be compared with it.

Sundaram & Hulkund, "GAN-based Data Augmentation for Chest X-ray Classification", KDD DSHealth
2021. They are of CheXpert's labels with uncertain ones as positive, at regimes 1, 10, 50 and 100 %,
on a split of their own: other patients than ours, so that no difference from them is tested.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from trainer.report.single_run import Facts

SOURCE = "Sundaram & Hulkund 2021"
ARMS = {"none": "none", "flip": "standard", "gan": "GAN"}  # our arm: the paper's word for it
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
        """What real and rendered images add up to."""
        return self.real + sum(self.rendered.values())


def _counts(real: int, lesion: int, pleural: int, fracture: int, combined: int) -> Counts:
    rendered = dict(zip(TARGETS, (lesion, pleural, fracture), strict=True))
    return Counts(real=real, rendered=rendered, combined=combined)


def _aucs(none: float, standard: float, gan: float) -> dict[str, float]:
    return dict(zip(ARMS, (none, standard, gan), strict=True))


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
FIGURE_4 = {  # validation less train loss in the last epoch
    1: {"none": 0.06, "gan": 0.03},
    10: {"none": 0.04, "gan": 0.03},
}


def counts(dataset: Facts) -> Counts | None:
    """Table 1's row; of the paper's share alone."""
    regime = _regime(dataset)
    same = Fraction(*dataset["plan"]["share"]) == SHARE
    return TABLE_1[regime] if regime and same else None


def aucs(dataset: Facts, pathology: str) -> dict[str, float] | None:
    """Table 2's row, by our names of its arms."""
    return TABLE_2.get((_regime(dataset), pathology))


def gaps(dataset: Facts) -> dict[str, float] | None:
    """Figure 4's final gaps, by our names of its arms."""
    return FIGURE_4.get(_regime(dataset))


def of_other_images(dataset: Facts) -> bool:
    """Whether ours are phantoms, while the paper's AUCs and losses are of radiographs."""
    return bool(dataset["source"].get("dataset") == "demo")


def _regime(dataset: Facts) -> int:
    """The paper's regime that has the dataset's labels; 0 where there is none."""
    labels = dataset["source"].get("dataset") in ("chexpert", "demo")
    if not labels or dataset["build"].get("uncertain", "ones") != "ones":
        return 0
    regime = Fraction(dataset["regime"] or 0)
    return int(regime) if regime in TABLE_1 else 0
