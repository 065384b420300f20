
import numpy as np
import numpy.typing as npt
import pytest

from builder.contract import CheckError, Sample, UsageError
from builder.render import BATCH, best_batch, check_generator, condition, render

PATHOLOGIES = ("Mass", "Effusion", "No_Finding")


class Fake:
    """Pixels that show the first latent and the label sum, so that a mix-up is visible."""

    labels = ("Pleural Effusion", "Mass", "Gout")
    resolution = 8
    latent_size = 3

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()

    def __call__(
        self, latents: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        self.shapes.add(latents.shape)
        images = np.zeros((len(latents), 8, 8), dtype=np.uint8)
        images[:, 0, 0] = np.clip(128 + 30 * latents[:, 0], 1, 255)
        images[:, 1, :3] = 100 * labels
        return images


def sample(number: int, labels: tuple[int, ...] = (1, 0, 0), target: str = "Mass") -> Sample:
    return Sample(
        key=f"x-{target.lower()}-{number}",
        split="train",
        origin="synthetic",
        target=target,
        draw=number,
        patient="",
        labels=labels,
    )


def images(samples: list[Sample], generator: object = None, size: int = 8) -> list[np.ndarray]:
    made = render(generator or Fake(), samples, pathologies=PATHOLOGIES, image_size=size, seed=0)
    return list(made)


def test_labels_are_matched_by_name_and_unknown_is_not_present() -> None:
    shown = condition([sample(0, (1, -1, 0)), sample(1, (0, 1, 1))], PATHOLOGIES, Fake.labels)
    assert shown.dtype == np.float32
    assert shown.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_pixels_do_not_depend_on_how_many_are_asked_for_or_in_which_order() -> None:
    samples = [sample(i, target=t) for i in range(BATCH + 5) for t in ("Mass", "Effusion")]
    whole = {s.key: p for s, p in zip(samples, images(samples), strict=True)}
    for part in (samples[:1], samples[3:9], samples[::-1]):
        for s, pixels in zip(part, images(part), strict=True):
            assert np.array_equal(pixels, whole[s.key])


def test_the_generator_always_sees_the_same_batch_shape() -> None:
    fake = Fake()
    images([sample(i) for i in range(BATCH + 1)], fake)
    assert fake.shapes == {(BATCH, 3)}


def broken(result: object) -> object:
    class Broken(Fake):
        def __call__(self, *_: object) -> object:  # type: ignore[override]
            return result

    return Broken()


BAD = {
    "float": (np.full((BATCH, 8, 8), np.nan), "float64"),
    "shape": (np.zeros((BATCH, 8, 9), dtype=np.uint8), r"\(64, 8, 9\)"),
    "nothing": (None, "NoneType"),
}


@pytest.mark.parametrize("case", BAD)
def test_output_that_is_no_image_is_an_error(case: str) -> None:
    result, message = BAD[case]
    with pytest.raises(CheckError, match=message):
        images([sample(0)], broken(result))


def test_a_generator_must_know_the_targets_and_be_large_enough() -> None:
    fake = Fake()
    check_generator(fake, name="fake", targets=["Effusion"], image_size=8)
    with pytest.raises(UsageError, match="cannot show Hernia: it knows Pleural Effusion"):
        check_generator(fake, name="fake", targets=["Hernia"], image_size=8)
    with pytest.raises(UsageError, match="use --image-size 8, or --upsample"):
        check_generator(fake, name="fake", targets=["Mass"], image_size=16)
    check_generator(fake, name="fake", targets=["Mass"], image_size=16, upsample=True)


# --- devices that can do more, or less ------------------------------------------------------------


class OutOfMemoryError(RuntimeError):
    """Stands in for torch's, which is told by its name."""


class Small(Fake):
    """A device with the memory for 16 images at a time."""

    def __call__(
        self, latents: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        if len(latents) > 16:
            raise OutOfMemoryError("out of memory")
        return super().__call__(latents, labels)


class Ahead(Fake):
    """A device that works on its own: it notes what was begun before what was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    def start(self, latents: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> object:
        number = len(self.log)
        self.log.append("begin")

        def finish() -> npt.NDArray[np.uint8]:
            self.log.append(f"wait {number}")
            return self(latents, labels)

        return finish


@pytest.mark.parametrize("batch", [1, 7, 64, 200])
def test_pixels_do_not_depend_on_the_batch(batch: int) -> None:
    samples = [sample(i) for i in range(70)]
    made = render(Fake(), samples, pathologies=PATHOLOGIES, image_size=8, seed=0, batch=batch)
    assert np.array_equal(np.stack(list(made)), np.stack(images(samples)))


def test_the_batch_is_halved_until_it_fits() -> None:
    small, samples = Small(), [sample(i) for i in range(70)]
    assert np.array_equal(np.stack(images(samples, small)), np.stack(images(samples)))
    assert small.shapes == {(16, 3)}


def test_no_memory_for_one_image_is_said() -> None:
    class Full(Fake):
        def __call__(self, *_: object) -> npt.NDArray[np.uint8]:  # type: ignore[override]
            raise OutOfMemoryError

    with pytest.raises(CheckError, match="not the memory for a single image"):
        images([sample(0)], Full())


def test_another_failure_of_the_generator_is_not_taken_for_that() -> None:
    class Broken(Fake):
        def __call__(self, *_: object) -> npt.NDArray[np.uint8]:  # type: ignore[override]
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        images([sample(0)], Broken())


def test_the_next_batch_is_begun_before_the_last_is_waited_for() -> None:
    ahead, samples = Ahead(), [sample(i) for i in range(3 * BATCH)]
    assert np.array_equal(np.stack(images(samples, ahead)), np.stack(images(samples)))
    assert ahead.log == ["begin", "begin", "wait 0", "begin", "wait 1", "wait 3"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (lambda _: 1.0, 1024),  # the same time for any batch: the largest
        (lambda size: size / 64, 64),  # no gain: the smallest
        (lambda size: 1.0 if size <= 256 else 4.0, 256),
    ],
)
def test_the_best_batch_is_the_one_of_the_most_images_a_second(seconds, expected: int) -> None:
    now = [0.0]

    class Timed(Fake):
        def __call__(self, latents, labels):  # type: ignore[no-untyped-def]
            now[0] += seconds(len(latents))
            return super().__call__(latents, labels)

    assert best_batch(Timed(), lambda: now[0]) == expected


def test_the_best_batch_fits() -> None:
    class Half(Fake):
        def __call__(self, latents, labels):  # type: ignore[no-untyped-def]
            if len(latents) > 128:
                raise OutOfMemoryError
            now[0] += 1
            return super().__call__(latents, labels)

    now = [0.0]
    assert best_batch(Half(), lambda: now[0]) == 128
