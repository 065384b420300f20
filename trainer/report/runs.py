"""Run folders into studies: the arms and seeds that were tested on the same images of a dataset."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from builder.contract import GROUPS, CheckError, Labels, UsageError, sha256_file
from trainer.arms import ARMS, TREATMENTS
from trainer.report.run import Facts

Probabilities = npt.NDArray[np.float32]
Words = npt.NDArray[np.object_]

OF_A_DATASET = ("manifest", "manifest_sha256")
OF_A_SEED = ("seed", "out", "shards", "shards_root", "device", "ranks", "workers", "skip_bad")
OF_AN_ARM = ("arm", "augment", "mix", "steps")
FILES = ("report.json", "history.csv", "predictions.parquet")
NEEDED = ("manifest", "build", "plan", "image", "controls", "config", "command", "software")


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """A run's probabilities on the test images, in sealed order."""

    names: tuple[str, ...]  # [L]
    key: Words  # [N]
    patient: Words  # [N]
    groups: dict[str, Words]  # view, sex, age, where the dataset has them
    labels: Labels  # [N, L]
    probabilities: Probabilities  # [N, L]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A complete run, as its folder holds it."""

    folder: Path
    facts: Facts  # report.json
    history: tuple[dict[str, float | None], ...]  # rows of history.csv
    test: Predictions

    @property
    def seed(self) -> int:
        """The seed of weights, order and flips."""
        return int(self.facts["config"]["seed"])

    @property
    def modifiers(self) -> tuple[str, ...]:
        """What is not usual about how its arm was trained."""
        config = self.facts["config"]
        flip = ("flip",) if config["augment"] == "flip" else ()
        mix = config["mix"].replace(",", " ")
        return (
            *flip,
            *((mix,) if mix != "real=1 synthetic=1" else ()),
            *((f"{config['steps']} steps",) if config["steps"] != "equal" else ()),
        )

    @property
    def recipe(self) -> Facts:
        """What the seeds of an arm have in common, beside the dataset."""
        return {
            k: v for k, v in self.facts["config"].items() if k not in (*OF_A_SEED, *OF_A_DATASET)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRuns:
    """The seeds of one arm."""

    title: str
    runs: tuple[Run, ...]  # by seed
    lent_by: str = ""  # the dataset that they trained on, where it is another with equal controls

    @property
    def name(self) -> str:
        """One of arms.ARMS."""
        return str(self.runs[0].facts["arm"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The arms that were tested on a dataset."""

    facts: Facts  # of one of its runs
    arms: tuple[ArmRuns, ...]
    common: tuple[str, ...]  # modifiers of every arm, which no title names


def load_run(folder: Path) -> Run:
    """The run in a folder; UsageError where it is not complete, CheckError where it is damaged."""
    path = folder / "report.json"
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise UsageError(
            f"{folder} holds no complete run of xtrain, for it has no {missing[0]}: go on with"
            " xtrain fit --resume."
        )
    try:
        facts = json.loads(path.read_bytes())
        if missing := [name for name in NEEDED if name not in facts]:
            raise UsageError(
                f"{path} was written by an earlier version, it has no {missing[0]}: run xtrain"
                f" evaluate {folder} first."
            )
        run = Run(
            folder=folder,
            facts=facts,
            history=tuple(_history(folder / "history.csv")),
            test=_predictions(folder / "predictions.parquet"),
        )
        names = sorted(row["pathology"] for row in facts["pathologies"])
        if names != sorted(run.test.names):
            raise ValueError
        return run
    except (ValueError, KeyError, TypeError, pa.ArrowException):
        raise CheckError(
            f"The files of the run in {folder} are cut or do not fit each other: run xtrain"
            " evaluate on it again."
        ) from None


def _history(path: Path) -> list[dict[str, float | None]]:
    with path.open(newline="") as file:
        return [
            {name: float(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]


def _predictions(path: Path) -> Predictions:
    table = pq.read_table(path, partitioning=None)
    table = table.filter(pa.compute.equal(table["split"], "test"))
    columns = {name: table[name].to_numpy() for name in table.column_names}
    names = tuple(n.removeprefix("label:") for n in table.column_names if n.startswith("label:"))
    labels = np.stack([columns[f"label:{name}"] for name in names], axis=1)
    probabilities = np.stack([columns[f"probability:{name}"] for name in names], axis=1)
    if not np.isfinite(probabilities).all() or not np.isin(labels, (-1, 0, 1)).all():
        raise ValueError
    return Predictions(
        names=names,
        key=columns["key"],
        patient=columns["patient"],
        groups={name: columns[name] for name in GROUPS if name in columns},
        labels=labels,
        probabilities=probabilities,
    )


def find_runs(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The folders of complete runs at or below the paths, each once; UsageError if one has none."""
    found: dict[Path, Path] = {}
    for path in paths:
        below = sorted(file.parent for file in path.rglob("predictions.parquet"))
        if not below:
            raise UsageError(f"{path} holds no complete run of xtrain: name folders of xtrain fit.")
        found |= {folder.resolve(): folder for folder in below}
    return tuple(found.values())


def studies(runs: Sequence[Run]) -> tuple[Study, ...]:
    """A study for each dataset, by regime and name; arms in the order of arms.ARMS.

    A control of a dataset serves as the control of another that differs in its synthetic pixels
    alone and has no such run of its own. Raises UsageError where runs of an arm cannot be seeds of
    one another, CheckError where runs of a dataset were not tested on the same images.
    """
    common = tuple(m for m in runs[0].modifiers if all(m in run.modifiers for run in runs))
    by_dataset: dict[str, list[Run]] = {}
    for run in runs:
        by_dataset.setdefault(run.facts["manifest"]["digest"], []).append(run)
    arms = {digest: _arms(group, common) for digest, group in by_dataset.items()}
    found = []
    for digest, own in arms.items():
        facts = own[0].runs[0].facts
        titles = {arm.title for arm in own}
        lent = [
            ArmRuns(
                title=arm.title, runs=arm.runs, lent_by=other[0].runs[0].facts["manifest"]["name"]
            )
            for elsewhere, other in arms.items()
            for arm in other
            if elsewhere != digest
            and arm.name not in TREATMENTS
            and arm.runs[0].facts["controls"] == facts["controls"]
        ]
        for arm in lent:
            if arm.title not in titles:
                titles.add(arm.title)
                own = [*own, arm]
        ordered = sorted(own, key=lambda arm: (ARMS.index(arm.name), arm.title))
        study = Study(facts=facts, arms=tuple(ordered), common=common)
        _check_same_test(study)
        found.append(study)
    return tuple(sorted(found, key=lambda study: _place(study.facts)))


def _place(facts: Facts) -> tuple[float, str]:
    return float(facts["build"].get("regime", 100)), facts["manifest"]["name"]


def _arms(runs: Sequence[Run], common: Sequence[str]) -> list[ArmRuns]:
    """The arms, each called by its name and what is unusual about it, such as `gan, flip`."""
    by_title: dict[str, list[Run]] = {}
    for run in runs:
        arm = run.facts["config"]["arm"]
        known = (*common, "flip") if arm == "flip" else common
        title = ", ".join([arm, *(m for m in run.modifiers if m not in known)])
        by_title.setdefault(title, []).append(run)
    return [_seeds(title, group) for title, group in by_title.items()]


def _seeds(title: str, runs: Sequence[Run]) -> ArmRuns:
    """The runs of an arm by seed, once they differ in their seeds and in nothing else."""
    ordered = sorted(runs, key=lambda run: run.seed)
    first = ordered[0]
    for before, run in pairwise(ordered):
        if before.seed == run.seed:
            raise UsageError(
                f"{before.folder} and {run.folder} are both arm {title} with seed {run.seed}:"
                " leave one of them out."
            )
        if other := [k for k, v in run.recipe.items() if first.recipe.get(k) != v]:
            raise UsageError(
                f"{first.folder} and {run.folder} are both arm {title} but differ in {other[0]}"
                f" ({first.recipe.get(other[0])} and {run.recipe[other[0]]}): report them apart."
            )
    return ArmRuns(title=title, runs=tuple(ordered))


def _check_same_test(study: Study) -> None:
    first = study.arms[0].runs[0]
    for run in (run for arm in study.arms for run in arm.runs):
        same = run.test.names == first.test.names and np.array_equal(run.test.key, first.test.key)
        if not same or not np.array_equal(run.test.patient, first.test.patient):
            raise CheckError(
                f"{first.folder} and {run.folder} were not tested on the same images: evaluate"
                " both again."
            )


def files_of(run: Run) -> dict[str, str]:
    """The sha256 of the run's predictions and of its weights, where they are there."""
    names = ("predictions.parquet", "best.safetensors")
    return {n: sha256_file(run.folder / n) for n in names if (run.folder / n).is_file()}
