"""A report of several runs as one HTML page that needs nothing beside it.

It has no script, asks no network for anything, and its policy (CSP) forbids both. Names in a
manifest are strangers' words: everything but our own figures is escaped.
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import unpack
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trainer.report import paper_values
from trainer.report.chart import Chart
from trainer.report.conclusions import BALANCED, with_minus
from trainer.report.figures import aucs, calibration, forest, losses, rocs
from trainer.report.single_run import Facts
from trainer.report.style import INK, QUIET, VERDICTS, looks
from trainer.report.tables import Table, tables

PICTURES = ("examples", "cams")
SECTIONS = {  # in reading order; one with nothing to show is left out
    "answer": "Answer",
    "arms": "The arms",
    "table1": "Table 1: images",
    "table2": "Table 2: test AUC",
    "rocs": "ROC curves",
    "training": "Figure 4: training",
    "examples": "Figure 2: images",
    "cams": "Figure 5: activation maps",
    "figures": "Calibration and other figures",
    "subgroups": "Subgroups",
    "others": "Other pathologies",
    "method": "How it was computed",
    "repeat": "To repeat it",
}
ARMS = {  # what an arm shows the network, as trainer.arms has it
    "none": "the real images",
    "flip": "the real images, each flipped by chance: the paper's standard augmentation",
    "gan": "the real and the synthetic images",
    "oversample": "the real images, and in place of each synthetic one a real one with the same"
    " labels: the balance of gan without its pixels",
    "pretrain": "the synthetic images first, then the real ones",
    "classweight": "the real images, positives weighted in the loss by negatives / positives",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Images of a dataset, as one PNG."""

    key: str  # "examples": real beside synthetic (Figure 2); "cams": activation maps (Figure 5)
    dataset: str  # its digest
    title: str
    note: str
    png: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What the page shows of one dataset."""

    name: str  # no other has it
    facts: Facts
    tables: dict[str, Table]  # differences, others, figures, subgroups
    charts: dict[str, list[Chart]]
    pictures: dict[str, list[Picture]]
    undrawn: list[str]  # why a pathology has no figure

    @property
    def title(self) -> str:
        """The name and the share of the training set."""
        regime = self.facts["regime"]
        return f"{self.name}, regime {regime} %" if regime else self.name

    def shows(self, section: str) -> bool:
        """Whether there is something of it in a section that is of single datasets."""
        return any(held.get(section) for held in (self.tables, self.charts, self.pictures))


def page(facts: Facts, pictures: Sequence[Picture] = ()) -> str:
    """The HTML of report.json and pictures; ValueError for a picture that has no place in it."""
    found = tables(facts)
    of_all = {table.key: table for table in found if not table.dataset}
    names = dict.fromkeys(table.dataset for table in found if table.dataset)
    groups = [
        _group(dataset, name, found, pictures)
        for dataset, name in zip(facts["datasets"], names, strict=True)
    ]
    placed = [picture for g in groups for held in g.pictures.values() for picture in held]
    if lost := [picture for picture in pictures if picture not in placed]:
        raise ValueError(f"No dataset of the report has the picture {lost[0].title!r}.")
    environment = Environment(
        loader=PackageLoader("trainer", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"typeset": _typeset, "svg": _svg, "src": _src, "size": _size}
    return environment.get_template("page.html").render(
        facts=facts,
        groups=groups,
        tables=of_all,
        sections={k: v for k, v in SECTIONS.items() if _shown(k, of_all, groups)},
        scope=_scope(facts),
        glance=_glance(groups) if len(groups) > 1 else {},
        arms=_arms(facts),
        balanced=BALANCED,
        verdicts=VERDICTS,
        ink=INK,
        quiet=QUIET,
        source=paper_values.SOURCE,
    )


def _group(dataset: Facts, name: str, found: Sequence[Table], pictures: Sequence[Picture]) -> Group:
    shown = dataset["targets"] or [*dataset["positives"]]
    why = {n: dataset["arms"][0]["pathologies"][n] for n in shown}
    return Group(
        name=name,
        facts=dataset,
        tables={t.key.partition("-")[0]: t for t in found if t.dataset == name},
        charts={draw.__name__: draw(dataset) for draw in (aucs, forest, rocs, losses, calibration)},
        pictures={
            key: [p for p in pictures if (p.key, p.dataset) == (key, dataset["digest"])]
            for key in PICTURES
        },
        undrawn=[f"{n}: {found['missing']}" for n, found in why.items() if "auc" not in found],
    )


def _shown(section: str, of_all: Mapping[str, Table], groups: Sequence[Group]) -> bool:
    if section in ("table1", "table2", "training", "repeat"):
        return section in of_all
    return section in ("answer", "arms", "method") or any(group.shows(section) for group in groups)


def _scope(facts: Facts) -> dict[str, str]:
    """How much was trained and tested, a number and its word."""
    datasets = facts["datasets"]
    folders = {run["folder"] for d in datasets for arm in d["arms"] for run in arm["runs"]}
    tested = {(d["test"]["images"], d["test"]["patients"]) for d in datasets}
    images, patients = ([f"{pair[i]:,}" for pair in sorted(tested)] for i in (0, 1))
    return {
        "datasets": str(len(datasets)),
        "arms": str(len(_arms(facts))),
        "trained networks": f"{len(folders):,}",
        "test images": " / ".join(images),
        "test patients": " / ".join(patients),
    }


def _glance(groups: Sequence[Group]) -> dict[tuple[str, str], list[Facts | None]]:
    """The conclusion on each target and arm in every dataset, None where there is none."""
    found: dict[tuple[str, str], list[Facts | None]] = {}
    for number, group in enumerate(groups):
        for said in group.facts["conclusions"]:
            row = found.setdefault((said["pathology"], said["arm"]), [None] * len(groups))
            row[number] = said
    return found


def _arms(facts: Facts) -> dict[str, Any]:
    """Every arm of any dataset once: its look in the figures and what it shows the network."""
    found: dict[str, Any] = {}
    for dataset in facts["datasets"]:
        look = looks(dataset)
        for arm in dataset["arms"]:
            meaning = ARMS[arm["name"]]
            found.setdefault(arm["title"], {"look": look[arm["title"]], "meaning": meaning})
    return found


def _typeset(text: str) -> str:
    """Words with minus signs where JSON has hyphens, and no break within `p < 0.001`."""
    return re.sub(
        r"\bp (< )?(?=\d)", lambda found: found[0].replace(" ", "\u00a0"), with_minus(text)
    )


def _svg(chart: Chart) -> Markup:
    return Markup(chart.svg)  # figures.py wrote it with an XML library, which escapes


def _src(picture: Picture) -> str:
    return f"data:image/png;base64,{b64encode(picture.png).decode()}"


def _size(picture: Picture) -> tuple[int, int]:
    """Width and height in pixels, from the PNG's first chunk."""
    width, height = unpack(">II", picture.png[16:24])
    return width, height
