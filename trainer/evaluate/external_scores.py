"""What a run scores on an external test, as its folder holds it.

external/NAME-DIGEST.parquet    probabilities, in the format of predictions.parquet
external/NAME-DIGEST.json       ExternalScores, written last
"""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from builder.contract import Refusal, sha256_bytes, write_last
from builder.contract.record import Count, Sha256, read_record, to_json
from trainer.evaluate.external import ExternalTest, as_seen_by
from trainer.evaluate.scores import Score, evaluate_test
from trainer.fit.control import Place
from trainer.stream.batches import Dataset

FOLDER = "external"  # in the folder of a run


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalScores:
    """The scores of a run's best weights on the test images of another dataset."""

    test: ExternalTest
    source: dict[str, object]  # what its label table says of itself
    manifest: Sha256  # digest of the dataset that the run was trained on
    epoch: Count  # of the weights
    images: Count
    unread: Count
    scores: tuple[Score, ...]  # of the pathologies that it labels
    predictions: Sha256  # of the parquet file


def scores_path(run: Path, test: ExternalTest) -> Path:
    """Where the scores of a run lie; the probabilities lie beside it."""
    return run / FOLDER / f"{test.name}-{test.digest[:8]}.json"


def is_scored(run: Path, test: ExternalTest, *, manifest: str, epoch: int) -> bool:
    """Whether the run was scored there with the weights of that epoch, and with these labels."""
    try:
        found = read_record(scores_path(run, test), ExternalScores)
    except Refusal:
        return False  # missing or damaged
    same = (found.test.digest, found.test.labels) == (test.digest, test.labels)
    return same and (found.manifest, found.epoch) == (manifest, epoch)


def score_external(
    data: Dataset,
    model: nn.Module,
    test: ExternalTest,
    place: Place,
    *,
    pathologies: tuple[str, ...],
    manifest: str,
    epoch: int,
    seed: int,
    min_positives: int,
) -> ExternalScores:
    """The scores of a model with these outputs on the test images of `data`; both files lie there.

    `manifest`: the digest of the dataset that it was trained on, up to `epoch`.
    """
    seen = as_seen_by(data, test, pathologies)
    found = evaluate_test(seen, model, place, seed=seed, min_positives=min_positives)
    known = dict(test.labels)
    scores = ExternalScores(
        test=test,
        source=data.manifest.source,
        manifest=manifest,
        epoch=epoch,
        images=len(data.rows("test")),
        unread=len(found.unread),
        scores=tuple(score for score in found.test if score.pathology in known),
        predictions=sha256_bytes(found.predictions),
    )
    if place.fabric.is_global_zero:
        path = scores_path(place.out, test)
        write_last(path.with_suffix(".parquet"), found.predictions)
        write_last(path, to_json(scores).encode())
    place.fabric.barrier()
    return scores
