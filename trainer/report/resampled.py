"""The AUCs of a study's arms on its test images, in all resamples of the patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from builder.contract import Labels
from trainer.evaluate.bootstrap import RESAMPLES, ArmAucs, arm_aucs, resample
from trainer.evaluate.scores import numbered
from trainer.progress import Advance
from trainer.report.load import Probabilities
from trainer.report.studies import Study
from trainer.stream.order import Rows

SEED = 0  # of the resamples


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """The arms of a study on its test images, with the AUCs of all resamples."""

    names: tuple[str, ...]  # pathologies [L]
    labels: Labels  # [N, L]; unknown where a run did not read the image
    patients: Rows  # [N]
    scores: tuple[Probabilities, ...]  # [S, N, L] for each arm
    aucs: tuple[ArmAucs, ...]

    @classmethod
    def of(cls, study: Study, advance: Advance) -> "Resampled":
        """All pathologies of a study; `advance` is called with AUCs as `effort` counts them."""
        first = study.arms[0].runs[0].test
        runs = [run for arm in study.arms for run in arm.runs]
        return _resampled(
            first.names,
            np.min([run.test.labels for run in runs], axis=0),
            tuple(np.stack([run.test.probabilities for run in arm.runs]) for arm in study.arms),
            numbered(first.patient, first.key),
            advance,
        )

    def part(self, rows: Rows, names: Sequence[str], advance: Advance) -> "Resampled":
        """The same for some rows [n] and pathologies, with resamples of their patients alone."""
        columns = np.array([self.names.index(name) for name in names])
        return _resampled(
            tuple(names),
            self.labels[np.ix_(rows, columns)],
            tuple(scores[:, rows][..., columns] for scores in self.scores),
            np.unique(self.patients[rows], return_inverse=True)[1],
            advance,
        )


def _resampled(
    names: tuple[str, ...],
    labels: Labels,
    scores: tuple[Probabilities, ...],
    patients: Rows,
    advance: Advance,
) -> Resampled:
    counts = resample(int(patients.max()) + 1, RESAMPLES, seed=SEED)
    aucs = []
    for of_arm in scores:
        aucs.append(arm_aucs(labels, of_arm, patients, counts))
        advance(of_arm[:, 0].size)
    return Resampled(names=names, labels=labels, patients=patients, scores=scores, aucs=tuple(aucs))


def subgroups(study: Study) -> list[tuple[str, str]]:
    """The groups of test images that have results of their own, such as ("sex", "female")."""
    known = study.arms[0].runs[0].test.groups if study.report.targets else {}
    return [(name, value) for name, values in known.items() for value in sorted({*values} - {""})]


def effort(study: Study) -> int:
    """How many AUCs are resampled for a study: all pathologies', and the targets' in each group."""
    seeds = sum(len(arm.runs) for arm in study.arms)
    names = len(study.arms[0].runs[0].test.names)
    return seeds * (names + len(subgroups(study)) * len(study.report.targets))
