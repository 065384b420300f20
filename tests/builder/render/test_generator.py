import re
from collections.abc import Callable

import numpy as np
import pytest

from builder.contract import Bytes, CheckError, UsageError
from builder.render import Floats, Generator, check_generator
from builder.render.generator import side_of, start_batch


def test_a_generator_must_know_the_targets(fake: Generator) -> None:
    check_generator(fake, name="fake", targets=["Effusion"], image_size=8)
    with pytest.raises(UsageError, match="cannot show Hernia: it knows Pleural Effusion") as caught:
        check_generator(fake, name="fake", targets=["Hernia"], image_size=8)
    assert "--label-map 'Hernia=LABEL', or train a generator on your own" in str(caught.value)
    mapped = (("Hernia", "Mass"),)
    check_generator(fake, name="fake", targets=["Hernia"], image_size=8, label_map=mapped)


def test_a_generator_must_have_seen_the_targets(fake: Generator) -> None:
    fake.unseen = ("Mass",)  # a label of no training image
    check_generator(fake, name="fake", targets=["Effusion"], image_size=8)
    for target, label_map in (("Mass", ()), ("Hernia", (("Hernia", "Mass"),))):
        seen = r"has never seen Mass: .*, and images had Pleural Effusion, Gout; show it"
        with pytest.raises(UsageError, match=seen):
            check_generator(fake, name="fake", targets=[target], image_size=8, label_map=label_map)
    elsewhere = (("Mass", "Gout"),)
    check_generator(fake, name="fake", targets=["Mass"], image_size=8, label_map=elsewhere)


def test_a_generator_must_be_large_enough(fake: Generator) -> None:
    with pytest.raises(UsageError, match="use --image-size 8, or --upsample"):
        check_generator(fake, name="fake", targets=["Mass"], image_size=16)
    check_generator(fake, name="fake", targets=["Mass"], image_size=16, upsample=True)


class Starting:
    """A generator that can begin a batch without waiting for it."""

    labels, resolution, latent_size = ("Mass",), 8, 3

    def __init__(self) -> None:
        self.begun = 0

    def __call__(self, *_: Floats) -> Bytes:
        raise AssertionError("start is used where there is one")

    def start(self, latents: Floats, labels: Floats, size: int = 8) -> Callable[[], Bytes]:
        assert len(latents) == len(labels)
        self.begun += 1
        return lambda: np.zeros((len(latents), size, size), np.uint8)


def test_a_batch_is_begun_where_that_can_be_done(fake: Generator) -> None:
    latents, labels = np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32)
    starting = Starting()
    finish = start_batch(starting, latents, labels)
    assert starting.begun == 1
    assert finish().shape == start_batch(fake, latents, labels)().shape == (4, 8, 8)


def test_a_size_is_asked_of_a_generator_that_resizes(fake: Generator) -> None:
    latents, labels = np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32)
    starting = Starting()
    assert start_batch(starting, latents, labels, 5)().shape == (4, 8, 8)
    assert side_of(starting, 5) == side_of(fake, 5) == 8
    starting.resizes = True
    assert start_batch(starting, latents, labels, 5)().shape == (4, 5, 5)
    assert start_batch(starting, latents, labels)().shape == (4, 8, 8)
    assert side_of(starting, 5) == 5
    assert start_batch(fake, latents, labels, 5)().shape == (4, 8, 8)


class Failing(Starting):
    """A plug-in that fails when its images are waited for, with the words of a stranger."""

    def start(self, latents: Floats, labels: Floats, size: int = 8) -> Callable[[], Bytes]:
        def finish() -> Bytes:
            raise KeyError(f"{len(latents)}\n\x1b[31m{labels.shape}{size * 'x'}{'y' * 200}")

        return finish


def test_what_a_plug_in_raises_is_one_short_sentence_with_its_line() -> None:
    latents = np.zeros((4, 3), np.float32)
    finish = start_batch(Failing(), latents, latents, name="lab")
    with pytest.raises(CheckError) as caught:
        finish()
    said = str(caught.value)
    found = re.fullmatch(
        r"The generator lab cannot make images: it raised KeyError in line \d+ of "
        r"test_generator\.py \((.*)…\); complete shards are kept: mend .* again\.",
        said,
    )
    assert found, said
    assert len(found[1]) == 80
    assert said.isprintable()
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_lack_of_memory_passes(limited: Callable[[int], Generator]) -> None:
    latents = np.zeros((4, 3), np.float32)
    with pytest.raises(RuntimeError, match="out of memory"):
        start_batch(limited(2), latents, latents)
