"""Which runs the experiment takes, and which of them are complete."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from builder.contract import UsageError
from trainer.arms import ARMS, TREATMENTS, control_digest, default_arm
from trainer.config import Config, resolve
from trainer.locate import Located, locate
from trainer.remote import is_url

BALANCED = "oversample"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run, or with `grid` a whole grid, whose best point is the run of the first seed."""

    config: Config
    dataset: str  # name of the manifest
    digest: str
    arm: str
    size: tuple[int, int]  # of an image, pixels
    images: int  # in an epoch
    val: int
    test: int
    grid: Path | None  # the folder of the arm's grid, where its points are chosen by one
    first: bool  # seed

    @property
    def title(self) -> str:
        """Dataset, arm and seed."""
        return f"{self.dataset}, {self.arm}, seed {self.config.recipe.seed}"

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

    def reported(self, min_positives: int) -> bool:
        """Whether the report is there, of these runs as they are now."""
        try:
            path = self.report / "report.json"
            asked = json.loads(path.read_bytes())["settings"]["min_positives"]
            runs = [job.chosen() or job.config for job in self.jobs]
            newest = max((run.out / "report.json").stat().st_mtime for run in runs)
            return bool(asked == min_positives and path.stat().st_mtime >= newest)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def left(self) -> list[Job]:
        """The runs that are not complete."""
        return [job for job in self.jobs if not job.complete()]


def find_manifests(paths: Sequence[str]) -> list[str]:
    """Manifest files and URLs; of a folder all its .json files, or those of its manifests/."""
    found = []
    for path in paths:
        if is_url(path) or not Path(path).is_dir():
            found.append(path)
            continue
        folder = Path(path)
        inside = folder / "manifests" if (folder / "manifests").is_dir() else folder
        files = sorted(str(file) for file in inside.glob("*.json"))
        if not files:
            raise UsageError(f"{path} holds no manifest: name a folder with files like gan10.json.")
        found += files
    return found


def plan(
    paths: Sequence[str],
    config: Config,
    *,
    arms: Sequence[str],
    seeds: int,
    grid: bool,
    out: Path,
) -> Paper:
    """Every dataset × arm × seed; what a dataset cannot have is left out.

    `config` is what all runs share; its seed is the first one's. No `arms` means all of them. A
    control is trained once for all datasets that differ in their synthetic pixels alone.
    """
    found = [
        (path, locate(path, config.shards_root, config.cache)) for path in find_manifests(paths)
    ]
    _check_names(found)
    begun: dict[tuple[str, str], str] = {}  # (arm, control digest) → the dataset that has it
    jobs = []
    for path, located in found:
        controls = control_digest(located.manifest, located.index)
        for arm in arms or ARMS:
            lent = arm not in TREATMENTS and begun.setdefault((arm, controls), path) != path
            if not lent and _possible(located, arm):
                shared = replace(config, shards=path, recipe=replace(config.recipe, arm=arm))
                jobs += [_job(located, shared, seed, out, grid=grid) for seed in range(seeds)]
    if not jobs:
        raise UsageError("No dataset can have any of these arms: they need synthetic images.")
    order = sorted(jobs, key=lambda job: job.config.recipe.seed)  # stable: whole comparisons first
    return Paper(out=out, jobs=tuple(order))


def _check_names(found: Sequence[tuple[str, Located]]) -> None:
    names = [located.manifest.name for _, located in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two manifests are called {name}: their runs would share a folder.")


def _possible(located: Located, arm: str) -> bool:
    return arm not in (*TREATMENTS, BALANCED) or default_arm(located.manifest) == "gan"


def _job(located: Located, config: Config, seed: int, out: Path, *, grid: bool) -> Job:
    manifest, index = located.manifest, located.index
    recipe = replace(config.recipe, seed=config.recipe.seed + seed)
    folder = out / manifest.name / f"{recipe.arm}-seed{recipe.seed}"
    config = resolve(replace(config, recipe=recipe, out=folder), manifest, suffix="")
    return Job(
        config=config,
        dataset=manifest.name,
        digest=manifest.digest,
        arm=recipe.arm,
        size=(manifest.image.height, manifest.image.width),
        images=int((index.split == "train").sum()),
        val=int((index.split == "val").sum()),
        test=int((index.split == "test").sum()),
        grid=out / manifest.name / f"{recipe.arm}-grid" if grid else None,
        first=seed == 0,
    )
