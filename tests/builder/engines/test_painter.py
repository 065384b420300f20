import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from builder.checks import Reject
from builder.contract import Bytes, ImageSpec, Sample, decode_image
from builder.engines.painter import GeneratorPainter
from builder.render import Picture


@dataclass(frozen=True)
class First:
    """Rejects the first draw of every slot."""

    def __call__(self, images: Bytes, samples: Sequence[Sample]) -> list[str]:
        assert len(images) == len(samples)
        return ["it is the first" if sample.draw < 8 else "" for sample in samples]


def test_a_picture_comes_for_every_sample(
    painter: GeneratorPainter, synthetic: Callable[..., Sample]
) -> None:
    samples = [synthetic(i) for i in range(8)]
    pictures = list(painter.produce(samples))
    assert [picture.sample for picture in pictures] == samples
    assert {picture.pixels.shape for picture in pictures} == {(32, 32)}


def test_a_pathology_is_shown_as_the_label_that_it_is_mapped_to(
    painter: GeneratorPainter, synthetic: Callable[..., Sample]
) -> None:
    samples = [synthetic(i) for i in range(2)]
    layout = replace(painter.layout, pathologies=("Tumour",))
    tumours = replace(painter, layout=layout, label_map=(("Tumour", "Mass"),))
    made = pickle.loads(pickle.dumps(tumours)).produce(samples)
    for mine, theirs in zip(made, painter.produce(samples), strict=True):
        assert np.array_equal(mine.pixels, theirs.pixels)
    healthy = replace(painter, layout=layout).produce(samples)
    assert not np.array_equal(next(iter(healthy)).pixels, mine.pixels)


def test_a_pickled_painter_produces_the_same(
    painter: GeneratorPainter, synthetic: Callable[..., Sample]
) -> None:
    samples = [synthetic(i) for i in range(3)]
    other = replace(pickle.loads(pickle.dumps(painter)), batch=2)
    for mine, theirs in zip(painter.produce(samples), other.produce(samples), strict=True):
        assert np.array_equal(mine.pixels, theirs.pixels)


def test_rejects_are_kept_lossless_where_that_is_asked_for(
    painter: GeneratorPainter, synthetic: Callable[..., Sample], tmp_path: Path
) -> None:
    folder = tmp_path / "rejected"
    keeping = replace(
        painter, judges=(First(),), redraws=replace(painter.redraws, rejects_dir=folder)
    )
    made = list(keeping.produce([synthetic(i) for i in range(2)]))
    rejects = [item for item in made if isinstance(item, Reject)]
    pictures = [item for item in made if isinstance(item, Picture)]
    assert [picture.sample.draw for picture in pictures] == [8, 9]
    spec = ImageSpec(height=32, width=32, codec="png", quality=0)
    for reject in rejects:
        kept = (folder / f"{reject.sample.key}.png").read_bytes()
        assert np.array_equal(decode_image(kept, spec), reject.pixels)
    assert len(list(folder.iterdir())) == len(rejects) == 2


def test_banned_images_are_drawn_again(
    painter: GeneratorPainter, synthetic: Callable[..., Sample]
) -> None:
    samples = [synthetic(i) for i in range(3)]
    banning = painter.banning(frozenset({samples[1].key}))
    made = [item.sample.draw for item in banning.produce(samples) if isinstance(item, Picture)]
    assert made == [0, 9, 2]
    assert not painter.redraws.banned
