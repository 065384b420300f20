"""Copies are suspected; honest images, blurred ones too, are not."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from builder.audit import blockwise, copies
from builder.audit.copies import judge_copies, planted, too_few
from builder.audit.pictures import Pictures
from builder.audit.settings import Settings
from builder.contract import Bytes
from builder.contract.audit import Copies
from builder.progress import Progress

Chests = Callable[[int, int], Bytes]
Make = Callable[..., Pictures]
SETTINGS = Settings(sample=90)


@pytest.fixture(autouse=True)
def _few_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("mirroring", "inversion")
    monkeypatch.setattr(planted, "KINDS", {kind: planted.KINDS[kind] for kind in kinds})
    monkeypatch.setattr(copies, "PLANTED", 40)


@pytest.fixture(scope="module")
def sides(make_pictures: Make, chests: Chests) -> tuple[Pictures, Pictures]:
    return make_pictures(chests(80, 0)), make_pictures(chests(100, 1), split="test")


@pytest.fixture
def judged(
    sides: tuple[Pictures, Pictures], make_pictures: Make, show: Progress
) -> Callable[[Bytes], tuple[Copies, Pictures]]:
    def judge_them(images: Bytes) -> tuple[Copies, Pictures]:
        synthetic = make_pictures(images, origin="synthetic")
        return judge_copies(synthetic, *sides, settings=SETTINGS, show=show), synthetic

    return judge_them


def test_copies_and_repeats_are_suspected(
    sides: tuple[Pictures, Pictures],
    judged: Callable[[Bytes], tuple[Copies, Pictures]],
    chests: Chests,
    show: Progress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = chests(100, 2)
    images[30] = np.roll(sides[0].reduced[7], 3, axis=1)
    images[90] = images[50, :, ::-1]
    found, synthetic = judged(images)
    assert found.suspects == 1
    assert (found.listed[0].key, found.listed[0].of) == (synthetic.keys[30], sides[0].keys[7])
    assert found.listed[0].similarity > found.threshold
    assert found.duplicates == 1
    assert (found.duplicates_listed[0].key, found.duplicates_listed[0].of) == (
        synthetic.keys[90],
        synthetic.keys[50],
    )
    assert (found.synthetic, found.train, found.held_out, found.accused) == (100, 80, 90, 0)
    mirrored, inverted = found.planted
    assert (mirrored.planted, mirrored.found) == (40, 40)
    assert (inverted.planted, inverted.found) == (40, 0)

    monkeypatch.setattr(blockwise, "usable_cores", lambda: 1)
    again = judge_copies(synthetic, *sides, settings=SETTINGS, show=show)
    assert again == found


def test_a_blurred_honest_set_is_not_called_copied(
    judged: Callable[[Bytes], tuple[Copies, Pictures]], chests: Chests
) -> None:
    images = ndimage.gaussian_filter(chests(100, 3).astype(np.float32), (0, 1.5, 1.5))
    found, _ = judged(images.astype(np.uint8))
    assert (found.suspects, found.duplicates, found.listed) == (0, 0, ())


@pytest.mark.parametrize(
    ("train", "held_out", "said"),
    [
        ([2] * 10, [2] * 10, ""),
        ([2] * 10, [25], "there are 20 of 10 patients, and 25 of 1 patient."),
        ([2] * 10, [24, 1], "20 of 10 patients, and 25 of 2 patients."),
        ([25], [2] * 10, "there are 25 of 1 patient, and 20 of 10 patients."),
        ([2] * 10, [1] * 19, "and 19 of 19 patients."),
        ([2] * 10, [90, *[1] * 9], "none with most images"),
    ],
)
def test_too_few_patients_are_told_before_the_search(
    make_pictures: Make, chests: Chests, train: list[int], held_out: list[int], said: str
) -> None:
    sides = []
    for number, sizes in enumerate((train, held_out)):
        patients = np.repeat([f"{number}-{i}" for i in range(len(sizes))], sizes)
        images = chests(len(patients), number)
        sides.append(make_pictures(images, patients=patients.astype(np.object_)))
    found = too_few(*sides, settings=SETTINGS)
    assert said in found
    assert bool(found) is bool(said)


def test_the_sample_that_sets_the_threshold_is_asked(make_pictures: Make, chests: Chests) -> None:
    """Of many held-out images a sample is drawn, and it may be of one patient alone."""
    patients = np.array([f"p{max(i - 180, 0)}" for i in range(200)], np.object_)
    held_out = make_pictures(chests(200, 6), patients=patients)
    train = make_pictures(chests(20, 7))
    assert not too_few(train, held_out, Settings(sample=200))
    assert too_few(train, held_out, Settings(sample=25))
