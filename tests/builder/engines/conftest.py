"""A painter of synthetic images by the installed phantom."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.checks import Redraws
from builder.checks.constant import reasons_against
from builder.contract import ImageSpec, Sample
from builder.engines.painter import GeneratorPainter
from builder.recipe import GeneratorSpec, Layout
from builder.write import Shard, ShardJob, StoredSample


@pytest.fixture
def painter(tmp_path: Path) -> GeneratorPainter:
    """Phantoms of 32 pixels for the label Mass, of which eight are planned."""
    spec = ImageSpec(height=32, width=32, codec="png", quality=0)
    return GeneratorPainter(
        generator=GeneratorSpec(name="phantom", image_size=32),
        layout=Layout(root=tmp_path / "out", pathologies=("Mass",), image=spec),
        seed=0,
        batch=4,
        judges=(reasons_against,),
        redraws=Redraws(draws_per_target={"Mass": 8}),
    )


@pytest.fixture
def job_of(painter: GeneratorPainter, synthetic: Callable[..., Sample]) -> Callable[..., ShardJob]:
    """A shard with one image, by its number."""

    def make(number: int, **changes: object) -> ShardJob:
        parts = {"painter": painter, "threads": 1, **changes}
        return ShardJob(
            layout=painter.layout,
            url=f"shards/x/train-{number:05d}-of-00008.tar",
            samples=(synthetic(number),),
            **parts,
        )

    return make


@pytest.fixture(scope="session")
def shard_of() -> Callable[..., Shard]:
    """A finished shard that holds some samples, with what is not in it."""

    def make(samples: tuple[Sample, ...] = (), **parts: object) -> Shard:
        stored = tuple(
            StoredSample(sample=sample, offset=512, size=9, sketch=bytes(16)) for sample in samples
        )
        empty = {"entry": None, "bad": (), "rejects": (), "waited": None}
        return Shard(stored=stored, **{**empty, **parts})

    return make
