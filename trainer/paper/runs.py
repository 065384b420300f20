"""Which runs the experiment takes, and which of them are complete."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from builder.contract import UsageError
from trainer.config import Config, Facts


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

    def on(self, device: str, workers: int) -> "Job":
        """The same run on that device, with so many decode threads."""
        return replace(self, config=replace(self.config, device=device, workers=workers))

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

    def complete(self) -> bool:
        """Whether its folder holds its report; UsageError where that is another recipe's."""
        config = self.chosen()
        return config is not None and _complete(config, self.digest)


def _complete(config: Config, digest: str) -> bool:
    try:
        found = json.loads((config.out / "report.json").read_bytes())
        known = found["config"] | {"manifest": found["manifest"]["digest"]}
        epochs, current = found["epochs"], "controls" in found
    except (OSError, ValueError, KeyError, TypeError):
        return False  # not there, or cut
    asked = asdict(config.recipe) | {"manifest": digest}
    del asked["epochs"]
    for name, value in asked.items():
        if known.get(name) != value:
            raise UsageError(
                f"{config.out} was trained with {name} {known.get(name)}, now it is {value}: go on"
                " with the same, or choose another --out."
            )
    return bool(current and epochs == config.recipe.epochs)


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
            shown = {Path(run["folder"]).resolve() for arm in arms for run in arm["runs"]}
            folders = self.folders()
            newest = max((folder / "report.json").stat().st_mtime for folder in folders)
            current = path.stat().st_mtime >= newest
        except (OSError, ValueError, KeyError, TypeError):
            return None
        same = shown == {folder.resolve() for folder in folders}
        return found if same and current and asked == min_positives else None

    def left(self) -> list[Job]:
        """The runs that are not complete."""
        return [job for job in self.jobs if not job.complete()]
