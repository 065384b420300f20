from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from builder.audit import probe, shortcuts, traces, treatments
from builder.audit.pictures import Pictures
from builder.audit.settings import Settings
from builder.audit.shortcuts import judge_shortcuts
from builder.audit.traces import SIMPLE
from builder.audit.treatments import TREATMENTS
from builder.contract import Bytes
from builder.contract.audit import Shortcuts
from builder.progress import Progress

SETTINGS = replace(Settings(), resamples=60)
Make = Callable[..., Pictures]
Judge = Callable[..., tuple[Shortcuts | None, tuple[str, ...]]]


def encoded(images: Bytes) -> Bytes:
    treat = TREATMENTS["re-encoded"]
    assert treat is not None
    return treat(images)


def blurred(images: Bytes) -> Bytes:
    treat = TREATMENTS["blurred"]
    assert treat is not None
    return treat(images)


@pytest.fixture(scope="module")
def sides(make_pictures: Make, chests: Callable[[int, int], Bytes]) -> tuple[Pictures, Pictures]:
    images = chests(240, 1)
    return make_pictures(images[:120]), make_pictures(images[120:], split="val")


@pytest.fixture(scope="module")
def judged(sides: tuple[Pictures, Pictures], make_pictures: Make, show: Progress) -> Judge:
    def of(images: Bytes, **options: object) -> tuple[Shortcuts | None, tuple[str, ...]]:
        synthetic = make_pictures(images, origin="synthetic")
        return judge_shortcuts(synthetic, *sides, settings=SETTINGS, show=show, **options)

    return of


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images as they are, and nothing else."""
    monkeypatch.setattr(shortcuts, "TREATMENTS", {"none": None})


def found(result: tuple[Shortcuts | None, tuple[str, ...]]) -> Shortcuts:
    assert result[0] is not None
    return result[0]


def test_an_honest_set_is_not_told(judged: Judge, chests: Callable[[int, int], Bytes]) -> None:
    result, notes = judged(chests(120, 2))
    assert result is not None
    assert not result.told
    assert [each.treatment for each in result.origin] == [*TREATMENTS]
    for each in result.origin:
        assert each.kinds == ("real", "synthetic")
        assert each.n == (120, 120)
        assert each.floor is not None
        assert max(each.auc.low, each.floor.low) < 0.55  # of eight, one may miss 0.5
    assert result.alike == "label vectors"
    assert {clue.name for clue in result.clues} == {*SIMPLE}
    assert notes == ()


def test_another_codec_is_told_until_both_are_blurred(
    judged: Judge, chests: Callable[[int, int], Bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    two = {name: TREATMENTS[name] for name in ("none", "blurred")}
    monkeypatch.setattr(shortcuts, "TREATMENTS", two)
    result = found(judged(encoded(chests(120, 3))))
    assert result.told
    aucs = {each.treatment: each.auc for each in result.origin}
    assert aucs["none"].low > 0.95
    assert aucs["blurred"].value < aucs["none"].value
    assert [each.floor.low < 0.55 for each in result.origin if each.floor] == [True] * 2


@pytest.mark.usefixtures("plain")
def test_a_blurred_set_is_given_away_by_its_sharpness(
    judged: Judge, chests: Callable[[int, int], Bytes]
) -> None:
    result = found(judged(blurred(chests(120, 4))))
    assert result.told
    first = result.clues[0]
    assert first.auc.value == 1
    assert first.name in ("sharpness", "noise", "high_frequencies", "contrast")
    sharpness = next(clue for clue in result.clues if clue.name == "sharpness")
    assert sharpness.means[0] > 2 * sharpness.means[1]
    values = [clue.auc.value for clue in result.clues]
    assert values == sorted(values, reverse=True)
    assert min(values) >= 0.5


def test_few_images_are_not_compared(judged: Judge, chests: Callable[[int, int], Bytes]) -> None:
    result, notes = judged(chests(49, 5))
    assert result is None
    assert "there are 49 of 120 real and 49 synthetic ones" in notes[0]


@pytest.mark.usefixtures("plain")
def test_without_held_out_images_there_is_no_floor(
    sides: tuple[Pictures, Pictures],
    make_pictures: Make,
    chests: Callable[[int, int], Bytes],
    show: Progress,
) -> None:
    synthetic = make_pictures(chests(60, 6), origin="synthetic")
    for few in (0, 20):
        held_out = sides[1].take(np.arange(few))
        result, notes = judge_shortcuts(synthetic, sides[0], held_out, settings=SETTINGS, show=show)
        assert result is not None
        assert not result.told
        assert all(each.floor is None for each in result.origin)
        assert "no floor" in notes[0]


@pytest.mark.usefixtures("plain")
def test_sources_of_real_images_are_told(
    sides: tuple[Pictures, Pictures], make_pictures: Make, show: Progress
) -> None:
    images = np.concatenate([*sides[0].blocks()])
    images[:60, :4] = 0  # a bar, such as one clinic's scanner leaves
    train = make_pictures(images)
    keys = train.keys.tolist()
    sources = {key: "Bern" if i < 60 else "Basel" for i, key in enumerate(keys)}
    synthetic = make_pictures(sides[1].reduced, origin="synthetic")
    result = found(
        judge_shortcuts(synthetic, train, sides[1], settings=SETTINGS, show=show, sources=sources)
    )
    (told,) = result.sources
    assert told.kinds == ("Basel", "Bern")
    assert told.n == (60, 60)
    assert told.auc.low > 0.9


@pytest.mark.usefixtures("plain")
def test_the_same_for_any_number_of_threads(
    judged: Judge, chests: Callable[[int, int], Bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, results = chests(60, 8), []
    for cores in (1, 4):
        for module in (probe, traces, treatments):
            monkeypatch.setattr(module, "usable_cores", lambda cores=cores: cores)
        results.append(judged(images))
    assert results[0] == results[1]
