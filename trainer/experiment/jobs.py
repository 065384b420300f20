"""The runs of the experiment, and which of them are complete."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from builder.contract import Refusal, UsageError
from trainer.config import RunPlan
from trainer.evaluate.external_scores import is_scored, scores_path
from trainer.fit.run_folder import RunFolder
from trainer.recipe import CONFIG, ArmName, RunConfig, read_config
from trainer.report import Report, RunReport, load_report, read_report
from trainer.sweep import VARIED, load_sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """One run; with `grid` the first seed stands for a whole grid, whose best point is its run."""

    plan: RunPlan
    dataset: str  # name of the manifest
    digest: str  # of the manifest
    arm: ArmName
    size: tuple[int, int]  # height and width of an image, pixels
    images: int  # that it trains on, the sum over its epochs
    val: int  # images
    test: int  # images
    init_sha256: str | None  # of the file that --init names, as it is now
    grid: Path | None  # the folder of the arm's grid; None: the recipe is used as it is
    first: bool  # its seed is the first one

    @property
    def title(self) -> str:
        """Dataset, arm and seed; no other run of the experiment has it."""
        return f"{self.dataset}, {self.arm_title}, seed {self.plan.recipe.seed}"

    @property
    def arm_title(self) -> str:
        """The arm, with the weight of its synthetic images where that is unusual."""
        return ", ".join(filter(None, (self.arm, self.plan.recipe.weighting)))

    def on(self, device: str) -> "RunJob":
        """The same run on that device."""
        machine = replace(self.plan.machine, device=device)
        return replace(self, plan=replace(self.plan, machine=machine))

    def chosen(self) -> RunPlan | None:
        """The run to train: with a grid as its best point says, None until that is known."""
        if self.grid is None:
            return self.plan
        try:
            result = load_sweep(self.grid)
        except Refusal:
            return None
        best = next((trial for trial in result.points if trial.folder == result.best), None)
        if best is None:
            return None
        out = self.grid / best.folder if self.first else self.plan.out
        return replace(self.plan, out=out, recipe=best.params.apply(self.plan.recipe))

    def check(self) -> None:
        """Raise UsageError where its folder holds another run, which it cannot resume.

        A run that was begun with fewer epochs can be resumed where more of them only continue it,
        except in a grid, which compares points of equal length.
        """
        folder, loose = self.plan.out, set[str]()
        if self.grid is not None:
            if not self.first:
                return  # it must have been begun with the best point, which is not known yet
            folder = next((path.parent for path in self.grid.glob(f"*/{CONFIG}")), self.grid)
            loose.update(VARIED)
        try:
            known = read_config(folder)
        except Refusal:
            return  # missing or damaged: its training says so
        more = self.plan.recipe.epochs >= known.recipe.epochs
        if more and self.grid is None and self.plan.recipe.can_go_on:
            loose.add("epochs")
        self._check_same(known, replace(self.plan, out=folder), loose=loose)

    def is_trained(self) -> bool:
        """Whether its folder holds its report; UsageError where that is of another recipe."""
        return self._report() is not None

    def is_complete(self) -> bool:
        """The same, and whether it was scored on its external tests with those weights."""
        plan, found = self.chosen(), self._report()
        if plan is None or found is None:
            return False
        return all(
            is_scored(plan.out, test, manifest=self.digest, epoch=found.best_epoch)
            for test in plan.tests
        )

    def _report(self) -> RunReport | None:
        plan = self.chosen()
        if plan is None:
            return None
        try:
            found = load_report(plan.out)
        except Refusal:
            return None  # missing, damaged, or of an earlier version
        self._check_same(found.config, plan, loose={"epochs"})
        return found if found.epochs == plan.recipe.epochs else None

    def _check_same(self, known: RunConfig, plan: RunPlan, *, loose: Collection[str]) -> None:
        """Raise UsageError where a run was begun as another one; fields in `loose` may differ."""
        begun = asdict(known.recipe) | {"manifest_sha256": known.manifest_sha256}
        asked = asdict(plan.recipe) | {"manifest_sha256": self.digest}
        same_init = self.init_sha256 is not None and self.init_sha256 == known.init_sha256
        loose = {*loose, "init"} if same_init else loose
        for name, value in asked.items():
            if name not in loose and begun[name] != value:
                raise UsageError(
                    f"{plan.out} was begun with {name} {begun[name]}, now it is {value}: repeat the"
                    " command with the same value, or choose another --out."
                )
        if self.init_sha256 not in (None, known.init_sha256):  # None: a finished run needs no file
            raise UsageError(
                f"{plan.out} began with other weights than {plan.recipe.init} holds now (sha256"
                f" {known.init_sha256}, now {self.init_sha256}): bring the earlier file back, or"
                " choose another --out."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """All runs, in the order in which they are trained."""

    out: Path
    jobs: tuple[RunJob, ...]

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.out / "report"

    @property
    def tests(self) -> tuple[str, ...]:
        """The digests of the external tests, in the order in which they were named."""
        return tuple(test.digest for test in self.jobs[0].plan.tests)

    def folders(self) -> tuple[Path, ...]:
        """The folders of the runs; of a grid its best point's, once that is known."""
        return tuple((job.chosen() or job.plan).out for job in self.jobs)

    def current_report(self, min_positives: int) -> Report | None:
        """The report on disk; None unless it is of these runs as they are now."""
        path, folders = self.report / "report.json", self.folders()
        try:
            found = read_report(path)
            files = [RunFolder(folder).report for folder in folders]
            files += (
                scores_path((job.chosen() or job.plan).out, test)
                for job in self.jobs
                for test in job.plan.tests
            )
            if path.stat().st_mtime < max(file.stat().st_mtime for file in files):
                return None
        except (Refusal, OSError):
            return None
        arms = (arm for dataset in found.datasets for arm in dataset.arms)
        compared = {Path(run.folder).resolve() for arm in arms for run in arm.runs}
        same = compared == {folder.resolve() for folder in folders}
        plain = [job.dataset for job in self.jobs if job.arm_title == "gan"][:1]
        references = {row.reference for row in found.variants}
        same &= not references or {*plain} <= references  # manifests may be named in another order
        same &= all({t.digest for t in d.external} == {*self.tests} for d in found.datasets)
        return found if same and found.settings.min_positives == min_positives else None

    def left(self) -> list[RunJob]:
        """The runs that are not complete."""
        return [job for job in self.jobs if not job.is_complete()]
