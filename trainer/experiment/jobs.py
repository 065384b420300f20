"""Which runs the experiment takes, and which of them are complete."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from builder.contract import UsageError
from trainer.config import Config, Facts
from trainer.sweep import VARIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run, or with `grid` a whole grid, whose best point is the run of the first seed."""

    config: Config
    dataset: str  # name of the manifest
    digest: str
    arm: str
    size: tuple[int, int]  # of an image, pixels
    images: int  # in all epochs together
    val: int
    test: int
    grid: Path | None  # the folder of the arm's grid, where its points are chosen by one
    first: bool  # seed

    @property
    def title(self) -> str:
        """Dataset, arm and seed."""
        return f"{self.dataset}, {self.arm}, seed {self.config.recipe.seed}"

    def on(self, device: str) -> "Job":
        """The same run on that device."""
        return replace(self, config=replace(self.config, device=device))

    def chosen(self) -> Config | None:
        """What is to be trained: with a grid its best point, None until that is known."""
        if self.grid is None:
            return self.config
        try:
            found = json.loads((self.grid / "sweep.json").read_bytes())
            best = next(row for row in found["points"] if row["folder"] == found["best"])
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            return None
        out = self.grid / best["folder"] if self.first else self.config.out
        return replace(self.config, out=out, recipe=replace(self.config.recipe, **best["params"]))

    def check(self) -> None:
        """Raise UsageError where its folder holds a run that it will not go on with.

        One that was begun with fewer epochs can go on, but for `pretrain`, whose synthetic ones are
        a share of all, and for a grid, whose best point is of so many.
        """
        folder, loose = self.config.out, list[str]()
        if self.grid is not None and self.first:
            folder = next((path.parent for path in self.grid.glob("*/config.json")), self.grid)
            loose += VARIED
        elif self.grid is not None:
            return  # what it was begun with must be the best point, once that is known
        try:
            known = json.loads((folder / "config.json").read_bytes())
            more = self.config.recipe.epochs >= known["epochs"]
        except (OSError, ValueError, KeyError, TypeError):
            return  # not there, or cut: its training says so
        if more and self.grid is None and self.arm != "pretrain":
            loose.append("epochs")
        _compare(known, replace(self.config, out=folder), self.digest, loose=loose)

    def complete(self) -> bool:
        """Whether its folder holds its report; UsageError where that is another recipe's."""
        config = self.chosen()
        return config is not None and _complete(config, self.digest)


def _complete(config: Config, digest: str) -> bool:
    try:
        found = json.loads((config.out / "report.json").read_bytes())
        known = found["config"] | {"manifest_sha256": found["manifest"]["digest"]}
        epochs, current = found["epochs"], "controls" in found
    except (OSError, ValueError, KeyError, TypeError):
        return False  # not there, or cut
    _compare(known, config, digest, loose=("epochs",))
    return bool(current and epochs == config.recipe.epochs)


def _compare(known: Facts, config: Config, digest: str, *, loose: Sequence[str]) -> None:
    """Raise UsageError where a run was begun as another one, but for what is `loose`."""
    asked = asdict(config.recipe) | {"manifest_sha256": digest}
    for name, value in asked.items():
        if name not in loose and known.get(name) != value:
            raise UsageError(
                f"{config.out} was begun with {name} {known.get(name)}, now it is {value}: go on"
                " with the same, or choose another --out."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """The runs of the experiment, in the order in which they are taken up."""

    out: Path
    jobs: tuple[Job, ...]

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.out / "report"

    def folders(self) -> tuple[Path, ...]:
        """The runs' folders, once the best points are known."""
        return tuple((job.chosen() or job.config).out for job in self.jobs)

    def reported(self, min_positives: int) -> Facts | None:
        """The report that is there, where it is of these runs as they are now."""
        path = self.report / "report.json"
        try:
            found: Facts = json.loads(path.read_bytes())
            asked = found["settings"]["min_positives"]
            arms = [arm for dataset in found["datasets"] for arm in dataset["arms"]]
            current = all("modifiers" in arm for arm in arms)  # or it is of an earlier version
            shown = {Path(run["folder"]).resolve() for arm in arms for run in arm["runs"]}
            folders = self.folders()
            newest = max((folder / "report.json").stat().st_mtime for folder in folders)
            current &= path.stat().st_mtime >= newest
        except (OSError, ValueError, KeyError, TypeError):
            return None
        same = shown == {folder.resolve() for folder in folders}
        return found if same and current and asked == min_positives else None

    def left(self) -> list[Job]:
        """The runs that are not complete."""
        return [job for job in self.jobs if not job.complete()]
