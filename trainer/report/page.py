"""Report and pictures → report.html: one page that needs nothing else.

It has no script, asks no network for anything, and its policy (CSP) forbids both. Names in a
manifest may be a stranger's: everything but our own figures is escaped.
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import unpack
from types import MappingProxyType
from typing import Literal, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trainer.recipe import ArmName
from trainer.report import paper_values
from trainer.report.chart import Chart
from trainer.report.comparison_report import Report
from trainer.report.conclusions import BALANCED
from trainer.report.dose_figure import doses
from trainer.report.figures import aucs, calibration, external, forest, losses, rocs
from trainer.report.results import Conclusion, DatasetResult
from trainer.report.sentences import percent, with_minus
from trainer.report.style import INK, QUIET, VERDICTS, Style, styles
from trainer.report.tables import Table, tables

# Real and synthetic images (Figure 2); activation maps (Figure 5).
PictureKind = Literal["examples", "cams"]
PICTURES: tuple[PictureKind, ...] = get_args(PictureKind)
SECTIONS = {  # in reading order; one with nothing to show is left out
    "answer": "Answer",
    "arms": "The arms",
    "table1": "Table 1: images",
    "table2": "Table 2: test AUC",
    "dose": "Dose curve",
    "variants": "Variants against plain gan",
    "external": "Other test sets",
    "rocs": "ROC curves",
    "training": "Figure 4: training",
    "examples": "Figure 2: images",
    "cams": "Figure 5: activation maps",
    "figures": "Calibration and other figures",
    "subgroups": "Subgroups",
    "others": "Other pathologies",
    "audit": "Audit of the synthetic images",
    "method": "How it was computed",
    "repeat": "How to repeat it",
}
DRAWN = (aucs, forest, external, rocs, losses, calibration)
MEANINGS: Mapping[ArmName, str] = {  # what an arm shows the network
    "none": "real images only",
    "flip": "real images only, randomly flipped: the paper's standard augmentation",
    "gan": "adding synthetic images: the real and the synthetic images together",
    "oversample": "the same balance of real images: as gan, but a real image with the same labels"
    " replaces each synthetic one",
    "pretrain": "pretraining on synthetic images: the synthetic images first, then the real ones",
    "classweight": "real images only; the loss weights positives by negatives / positives",
    "radiograph": "real images only, turned, shifted, zoomed, made brighter or darker at random",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePicture:
    """Images of a dataset, as one PNG."""

    key: PictureKind
    dataset: str  # its digest
    title: str
    note: str
    png: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLegend:
    """How the page shows and explains an arm."""

    style: Style
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSection:
    """What the page shows of one dataset."""

    name: str  # no other has it
    result: DatasetResult
    tables: Mapping[str, Table]  # differences, others, figures, subgroups
    charts: Mapping[str, Sequence[Chart]]
    pictures: Mapping[str, Sequence[PagePicture]]
    undrawn: Sequence[str]  # why a pathology has no figure

    @property
    def title(self) -> str:
        """The name and the share of the training set."""
        regime = self.result.regime
        return f"{self.name}, regime {regime} %" if regime else self.name

    def shows(self, section: str) -> bool:
        """Whether it has something in a section of the page that is about single datasets."""
        if section == "audit":
            return bool(self.result.audit)
        return any(held.get(section) for held in (self.tables, self.charts, self.pictures))


def page(
    report: Report,
    pictures: Sequence[PagePicture] = (),
    audits: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The HTML of a report, with the pictures of its datasets.

    `audits` are the addresses of audits' pages by the digest of the dataset.
    """
    found = tables(report)
    of_all = {table.key: table for table in found if not table.dataset}
    names = dict.fromkeys(table.dataset for table in found if table.dataset)
    datasets = [
        _dataset_section(dataset, name, found, pictures)
        for dataset, name in zip(report.datasets, names, strict=True)
    ]
    environment = Environment(
        loader=PackageLoader("trainer", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"typeset": _typeset, "svg": _svg, "src": _src, "size": _size}
    return environment.get_template("page.html").render(
        report=report,
        datasets=datasets,
        tables=of_all,
        sections={k: v for k, v in SECTIONS.items() if _is_shown(k, of_all, datasets)},
        scope=_scope(report),
        glance=_glance(datasets) if len(datasets) > 1 else {},
        arms=_arms(report),
        doses=doses(report.doses, {t: arm.style for t, arm in _arms(report).items()}),
        audits=audits,
        ci=f"{percent(report.settings.level)} CI",
        balanced=BALANCED,
        verdicts=VERDICTS,
        ink=INK,
        quiet=QUIET,
        source=paper_values.SOURCE,
    )


def _dataset_section(
    dataset: DatasetResult, name: str, found: Sequence[Table], pictures: Sequence[PagePicture]
) -> DatasetSection:
    figures = dataset.arms[0].pathologies
    drawn = dataset.targets or tuple(dataset.positives)
    return DatasetSection(
        name=name,
        result=dataset,
        tables={t.key.partition("-")[0]: t for t in found if t.dataset == name},
        charts={draw.__name__: draw(dataset) for draw in DRAWN},
        pictures={
            key: [p for p in pictures if (p.key, p.dataset) == (key, dataset.digest)]
            for key in PICTURES
        },
        undrawn=[f"{n}, because {figures[n].missing}" for n in drawn if not figures[n].auc],
    )


def _is_shown(
    section: str, of_all: Mapping[str, Table], datasets: Sequence[DatasetSection]
) -> bool:
    if section == "external":
        return any(dataset.result.external for dataset in datasets)
    if section in ("table1", "table2", "dose", "variants", "training", "repeat"):
        return section in of_all
    always = section in ("answer", "arms", "method")
    return always or any(dataset.shows(section) for dataset in datasets)


def _scope(report: Report) -> dict[str, str]:
    """How much was trained and tested, in numbers."""
    arms = [arm for dataset in report.datasets for arm in dataset.arms]
    folders = {run.folder for arm in arms for run in arm.runs}
    sizes = sorted({(d.test.images, d.test.patients) for d in report.datasets})
    return {
        "datasets" if len(report.datasets) > 1 else "dataset": str(len(report.datasets)),
        "arms": str(len(_arms(report))),
        "trained networks": f"{len(folders):,}",
        "test images": " / ".join(f"{images:,}" for images, _ in sizes),
        "test patients": " / ".join(f"{patients:,}" for _, patients in sizes),
    }


def _glance(
    datasets: Sequence[DatasetSection],
) -> dict[tuple[str, str], list[Conclusion | None]]:
    """The conclusion on each target and arm in every dataset, None where there is none."""
    found: dict[tuple[str, str], list[Conclusion | None]] = {}
    for number, dataset in enumerate(datasets):
        for said in dataset.result.conclusions:
            row = found.setdefault((said.pathology, said.arm), [None] * len(datasets))
            row[number] = said
    return found


def _arms(report: Report) -> dict[str, ArmLegend]:
    """Every arm of any dataset once, by title."""
    found: dict[str, ArmLegend] = {}
    for dataset in report.datasets:
        style = styles(dataset)
        for arm in dataset.arms:
            legend = ArmLegend(style=style[arm.title], meaning=MEANINGS[arm.name])
            found.setdefault(arm.title, legend)
    return found


def _typeset(text: str) -> str:
    """The text with minus signs for hyphens, and no line break within `p < 0.001` or `95 % CI`."""
    parts = r"\bp (?:[<=] )?(?=\d)|(?<=\d) %(?: CI\b)?"
    return re.sub(parts, lambda found: found[0].replace(" ", "\u00a0"), with_minus(text))


def _svg(chart: Chart) -> Markup:
    return Markup(chart.svg)  # figures.py wrote it with an XML library, which escapes


def _src(picture: PagePicture) -> str:
    return f"data:image/png;base64,{b64encode(picture.png).decode()}"


def _size(picture: PagePicture) -> tuple[int, int]:
    """Width and height in pixels, from the PNG's first chunk."""
    width, height = unpack(">II", picture.png[16:24])
    return width, height
