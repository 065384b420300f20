"""The comparisons of a dataset → a plain sentence on each target and arm with synthetic images.

An arm may have helped against the arm that has the real images alone and was otherwise trained the
same way: `none`, or `flip` where it was flipped, too. Only against `oversample`, which has the
balance of `gan` without its pixels, may the generator be given the credit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.arms import TREATMENTS
from trainer.evaluate.inference import NO_VERDICT
from trainer.recipe import ArmName
from trainer.report.results import ArmResult, Comparison, Conclusion, DatasetResult, Judgement
from trainer.report.sentences import difference, effect, in_words
from trainer.report.studies import PLAIN, unweighted

BALANCED: ArmName = "oversample"
MIRRORED: ArmName = "gan"  # whose very batches oversample has, without their pixels
EFFECTS = ("helped", "hurt", "better", "worse")


def conclusions(dataset: DatasetResult, level: float) -> tuple[Conclusion, ...]:
    """The verdict and its sentence for each target and arm; intervals are of 1 - `level`."""
    return tuple(
        _Case.of(dataset, target, arm, level).conclusion()
        for target in dataset.targets
        for arm in treated(dataset)
    )


def treated(dataset: DatasetResult) -> list[ArmResult]:
    """The arms with synthetic images."""
    return [arm for arm in dataset.arms if arm.name in TREATMENTS]


def plain_of(dataset: DatasetResult, arm: ArmResult) -> ArmResult | None:
    """The control with the real images alone, otherwise trained as the arm was."""
    return _alike(dataset, unweighted(arm.modifiers), PLAIN)


def balanced_of(dataset: DatasetResult, arm: ArmResult) -> ArmResult | None:
    """The control with the arm's balance and without its pixels."""
    return _alike(dataset, arm.modifiers, (BALANCED,)) if arm.name == MIRRORED else None


def _alike(
    dataset: DatasetResult, modifiers: Sequence[str], names: Sequence[ArmName]
) -> ArmResult | None:
    """The first arm of these names that has these modifiers."""
    alike = [other for other in dataset.arms if other.modifiers == tuple(modifiers)]
    return next((other for name in names for other in alike if other.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One target and one arm with synthetic images."""

    target: str
    arm: ArmResult
    level: float
    rows: Mapping[str, Comparison]  # by the control's title
    controls: Mapping[str, ArmResult]  # by title
    plain: Comparison | None  # the row against real images alone
    balanced: Comparison | None  # the row against the same balance of real images

    @classmethod
    def of(cls, dataset: DatasetResult, target: str, arm: ArmResult, level: float) -> "_Case":
        rows = {
            row.control: row
            for row in dataset.comparisons
            if row.pathology == target and row.arm == arm.title and row.verdict is not None
        }
        plain, balanced = plain_of(dataset, arm), balanced_of(dataset, arm)
        return cls(
            target=target,
            arm=arm,
            level=level,
            rows=rows,
            controls={other.title: other for other in dataset.arms},
            plain=rows.get(plain.title) if plain else None,
            balanced=rows.get(balanced.title) if balanced else None,
        )

    def conclusion(self) -> Conclusion:
        """The verdict, and the sentence that says it."""
        rows = [*self.rows.values()]
        if not rows:
            return self._without("no control", "because no control arm was trained")
        if rows[0].missing:
            return self._without(NO_VERDICT, f"because {rows[0].missing}")
        first = self.plain or self.balanced or rows[0]
        verdict = first.verdict or NO_VERDICT
        if verdict == NO_VERDICT:
            return self._without(
                NO_VERDICT,
                "because too few test patients have it or lack it, or because neither patients nor"
                f" seeds change the difference ({difference(first, self.level)} compared with"
                f" {self._control(first)})",
            )
        others = [row for row in rows if row not in (first, self.balanced)]
        parts = (self._opening(first), self._credit(first), self._others(others))
        return Conclusion(
            pathology=self.target,
            arm=self.arm.title,
            verdict=verdict,
            over_balancing=self.balanced.verdict if self.balanced else None,
            sentence=f"{self.target}: {' '.join(filter(None, parts))}",
        )

    def _without(self, verdict: Judgement, why: str) -> Conclusion:
        return Conclusion(
            pathology=self.target,
            arm=self.arm.title,
            verdict=verdict,
            over_balancing=None,
            sentence=f"{self.target}: no verdict on {in_words(self.arm)}, {why}.",
        )

    def _control(self, row: Comparison) -> str:
        return in_words(self.controls[row.control])

    def _effect(self, row: Comparison) -> str:
        return f"{effect(row, self.level)} compared with {self._control(row)}"

    def _no_evidence(self, row: Comparison) -> str:
        said = f"no evidence of a difference from {self._control(row)}"
        return f"{said} ({difference(row, self.level)})"

    def _opening(self, row: Comparison) -> str:
        treatment = in_words(self.arm)
        if row.verdict in EFFECTS:
            return f"{treatment} {self._effect(row)}."
        if row.verdict == "one seed":
            return (
                f"with one seed, {treatment} {self._effect(row)}; another seed may not repeat it."
            )
        return (
            f"no evidence that {treatment} changed test AUC compared with {self._control(row)}"
            f" ({difference(row, self.level)})."
        )

    def _credit(self, first: Comparison) -> str:
        """Whether the balance alone explains what the first comparison says."""
        row = self.balanced
        if row is None:
            return self._no_credit() if first.verdict in EFFECTS else ""
        if row is first:
            return ""
        also = "also " if first.verdict in EFFECTS and _same_sign(first, row) else ""
        if row.verdict == "one seed":
            return f"With one seed, it {also}{self._effect(row)}."
        if first.verdict != "helped":
            if row.verdict in EFFECTS:
                return f"It {also}{self._effect(row)}."
            return f"There is {self._no_evidence(row)}."
        if row.verdict == "better":
            return f"It also {self._effect(row)}, so the balance alone does not explain the gain."
        if row.verdict == "worse":
            return f"But it {self._effect(row)}."
        return (
            "But there is no evidence that the gain is due to the generator and not to the balance"
            f" (compared with {self._control(row)}: {difference(row, self.level)})."
        )

    def _no_credit(self) -> str:
        missing = f"Without the arm {', '.join([BALANCED, *self.arm.unusual])},"
        why = missing if self.arm.name == MIRRORED else "No control has its schedule, so"
        return f"{why} nobody can say whether the balance alone explains this."

    def _others(self, rows: Sequence[Comparison]) -> str:
        said = [self._briefly(row) for row in rows]
        return f"Other controls: {'; '.join(said)}." if said else ""

    def _briefly(self, row: Comparison) -> str:
        if row.verdict in EFFECTS:
            return f"it {self._effect(row)}"
        if row.verdict == "one seed":
            return f"with one seed, it {self._effect(row)}"
        return self._no_evidence(row)


def _same_sign(one: Comparison, other: Comparison) -> bool:
    return (one.value or 0.0) * (other.value or 0.0) > 0
