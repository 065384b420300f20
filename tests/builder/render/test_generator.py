import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from builder.contract import Bytes, CheckError, Stopped, UsageError
from builder.render import Floats, Generator, check_generator, plugin_code
from builder.render.generator import is_out_of_memory, side_of, start_batch


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


@pytest.mark.parametrize("error", [UsageError("a"), CheckError("b"), Stopped("c", 15)])
def test_refusals_of_this_project_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, plugin_code("lab", "x", "y"):
        raise error
    assert caught.value is error


def test_a_fault_of_this_project_and_a_lack_of_memory_pass(
    limited: Callable[[int], Generator],
) -> None:
    with pytest.raises(ZeroDivisionError), plugin_code("builder.generators.phantom", "x", "y"):
        raise ZeroDivisionError
    latents = np.zeros((4, 3), np.float32)
    with pytest.raises(RuntimeError, match="out of memory"):
        start_batch(limited(2), latents, latents)
    said = pytest.raises(UsageError, match=r"x: it raised OutOfMemoryError \(out of memory\); y")
    with said, plugin_code("lab", "x", "y", UsageError):
        limited(2)(latents, latents)


def test_running_out_of_memory_is_recognised_by_its_name(
    limited: Callable[[int], Generator],
) -> None:
    latents = np.zeros((4, 3), np.float32)
    with pytest.raises(RuntimeError) as caught:
        limited(2)(latents, latents)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)  # on a CPU torch has no class for it
    assert is_out_of_memory(caught.value)
