from collections.abc import Callable

import numpy as np
import pytest

from builder.contract import Bytes, CheckError, Sample
from builder.render import BATCH, Floats, Generator, condition, render

PATHOLOGIES = ("Mass", "Effusion", "No_Finding")

MakeSample = Callable[..., Sample]


@pytest.fixture
def samples(synthetic: MakeSample) -> list[Sample]:
    """More samples than a batch has, all of Mass."""
    return [synthetic(i, labels=(1, 0, 0)) for i in range(BATCH + 6)]


def images(generator: Generator, samples: list[Sample], batch: int = BATCH) -> Bytes:
    made = render(generator, samples, pathologies=PATHOLOGIES, image_size=8, seed=0, batch=batch)
    return np.concatenate(list(made))


def test_labels_are_matched_by_name_and_unknown_is_not_present(
    fake: Generator, synthetic: MakeSample
) -> None:
    asked = [synthetic(0, labels=(1, -1, 0)), synthetic(1, labels=(0, 1, 1))]
    shown = condition(asked, PATHOLOGIES, fake.labels)
    assert shown.dtype == np.float32
    assert shown.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_a_mapped_pathology_is_shown_as_its_label_alone(
    fake: Generator, synthetic: MakeSample
) -> None:
    asked = [synthetic(0, labels=(1, 0, 0)), synthetic(1, labels=(0, 1, 0))]
    mapped = (("Mass", "Gout"), ("Effusion", "Gout"))
    assert condition(asked, PATHOLOGIES, fake.labels, mapped).tolist() == [[0, 0, 1], [0, 0, 1]]
    mapped = (("Effusion", "Mass"),)
    assert condition(asked, PATHOLOGIES, fake.labels, mapped).tolist() == [[0, 1, 0], [0, 1, 0]]
    (whole,) = render(
        fake, asked, pathologies=PATHOLOGIES, image_size=8, seed=0, label_map=(("Mass", "Gout"),)
    )
    assert [image[1, :3].tolist() for image in whole] == [[0, 0, 100], [100, 0, 0]]


def test_pixels_do_not_depend_on_how_many_are_asked_for_or_in_which_order(
    fake: Generator, synthetic: MakeSample
) -> None:
    targets = ("Mass", "Effusion")
    asked = [synthetic(i, t, (1, 0, 0)) for i in range(BATCH + 5) for t in targets]
    whole = {s.key: p for s, p in zip(asked, images(fake, asked), strict=True)}
    for part in (asked[:1], asked[3:9], asked[::-1]):
        for s, pixels in zip(part, images(fake, part), strict=True):
            assert np.array_equal(pixels, whole[s.key])


def test_the_generator_always_sees_the_same_batch_shape(
    fake: Generator, samples: list[Sample]
) -> None:
    images(fake, samples)
    assert fake.shapes == {(BATCH, 3)}


@pytest.mark.parametrize("batch", [1, 7, 64, 200])
def test_pixels_do_not_depend_on_the_batch(
    fake: Generator, samples: list[Sample], batch: int
) -> None:
    assert np.array_equal(images(fake, samples, batch), images(fake, samples))


class Returning:
    """A generator that returns a given thing."""

    labels, resolution, latent_size = ("Mass",), 8, 3

    def __init__(self, result: object) -> None:
        self.result = result

    def __call__(self, latents: Floats, labels: Floats) -> object:
        assert len(latents) == len(labels)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


BAD = {
    "float": (np.full((BATCH, 8, 8), np.nan), "float64"),
    "shape": (np.zeros((BATCH, 8, 9), dtype=np.uint8), r"\(64, 8, 9\)"),
    "nothing": (None, "NoneType"),
}


@pytest.mark.parametrize("case", BAD)
def test_output_that_is_no_image_is_an_error(case: str, samples: list[Sample]) -> None:
    result, message = BAD[case]
    with pytest.raises(CheckError, match=message):
        images(Returning(result), samples)


class Reusing:
    """A plug-in that makes every batch in the same array."""

    def __init__(self, generator: Generator, *, starts: bool) -> None:
        self.generator, self.buffer = generator, np.zeros((BATCH, 8, 8), np.uint8)
        self.labels, self.resolution = generator.labels, generator.resolution
        self.latent_size = generator.latent_size
        if starts:
            self.start = lambda *asked: lambda: self(*asked)

    def __call__(self, latents: Floats, labels: Floats) -> Bytes:
        self.buffer[:] = self.generator(latents, labels)
        return self.buffer


@pytest.mark.parametrize("starts", [False, True])
def test_a_generator_may_make_each_batch_in_the_same_array(
    fake: Generator, synthetic: MakeSample, starts: bool
) -> None:
    asked = [synthetic(i, labels=(i % 2, 0, 0)) for i in range(3 * BATCH)]
    assert np.array_equal(images(Reusing(fake, starts=starts), asked), images(fake, asked))


# --- devices that can do more, or less ------------------------------------------------------------


def test_the_batch_is_halved_until_it_fits(
    fake: Generator, limited: Callable[[int], Generator], samples: list[Sample]
) -> None:
    small = limited(16)
    assert np.array_equal(images(small, samples), images(fake, samples))
    assert small.shapes == {(16, 3)}


def test_no_memory_for_one_image_is_said(
    limited: Callable[[int], Generator], samples: list[Sample]
) -> None:
    with pytest.raises(CheckError, match="not enough memory for a single image"):
        images(limited(0), samples)


def test_on_a_gpu_pixels_depend_on_the_batch_so_it_is_not_halved(
    limited: Callable[[int], Generator], samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = limited(16)
    monkeypatch.setattr(small, "device", "cuda", raising=False)
    with pytest.raises(CheckError, match=r"for 64 images at a time, .* --batch 32 \(or auto\)"):
        images(small, samples)


class Resizing:
    """A device that resizes its images itself: they have one grey and the size asked for."""

    labels, resolution, latent_size, resizes = ("Mass",), 16, 3, True

    def start(self, latents: Floats, labels: Floats, size: int) -> Callable[[], Bytes]:
        assert len(latents) == len(labels)
        return lambda: np.full((len(latents), size, size), 7, np.uint8)


def test_images_come_in_their_own_size_or_as_the_device_resized_them(
    fake: Generator, samples: list[Sample]
) -> None:
    for generator, side in ((Resizing(), 5), (fake, 8)):
        made = render(generator, samples, pathologies=PATHOLOGIES, image_size=5, seed=0)
        assert [block.shape for block in made] == [(BATCH, side, side), (6, side, side)]


def test_another_failure_of_the_generator_is_not_taken_for_that(samples: list[Sample]) -> None:
    with pytest.raises(CheckError, match=r"Returning cannot make images: it raised Run.*\(a bug\)"):
        images(Returning(RuntimeError("a bug")), samples)


class Ahead:
    """A device that works on its own: it notes what was begun before what was waited for."""

    def __init__(self, generator: Generator) -> None:
        self.generator, self.log = generator, []
        self.labels, self.resolution = generator.labels, generator.resolution
        self.latent_size = generator.latent_size

    def start(self, latents: Floats, labels: Floats) -> Callable[[], Bytes]:
        number = len(self.log)
        self.log.append("begin")

        def finish() -> Bytes:
            self.log.append(f"wait {number}")
            return self.generator(latents, labels)

        return finish


def test_the_next_batch_is_begun_before_the_last_is_waited_for(
    fake: Generator, synthetic: MakeSample
) -> None:
    asked = [synthetic(i, labels=(1, 0, 0)) for i in range(3 * BATCH)]
    ahead = Ahead(fake)
    assert np.array_equal(images(ahead, asked), images(fake, asked))
    assert ahead.log == ["begin", "begin", "wait 0", "begin", "wait 1", "wait 3"]
