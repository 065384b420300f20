"""What a generator is, and whether one can show what is asked for.

A generator is any object with the three attributes and the call below. It is named by the recipe
and found through the entry points of group `cxr_rebalance.generators`. It knows nothing of plans,
draws or files.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from builder.contract import UsageError
from builder.labels import find_pathology
from builder.plugin import plugin_code
from builder.render.label_map import LabelMap, label_for, named_labels

Floats = npt.NDArray[np.float32]
Finish = Callable[[], npt.NDArray[np.uint8]]


class Generator(Protocol):
    """A conditional image generator.

    It may have more attributes: `unseen`, labels that no training image had, which are refused as
    targets; `software`, the distributions on whose versions pixels depend; `device`, "cuda" where
    it renders on a GPU, "cpu" where torch does so on a CPU; `alike_cpus`, torch's names of the
    instruction sets that give the same pixels there, such as "AVX2"; and `start(latents, labels)`,
    which begins a batch on the device without waiting for it and returns a function that gives its
    images. Where `resizes` is true, `start` takes a third argument, the size to which it resizes
    them on the device, as `builder.render.lanczos` does.
    """

    labels: tuple[str, ...]  # names of the condition's entries, in order
    resolution: int  # pixels on a side
    latent_size: int

    def __call__(self, latents: Floats, labels: Floats) -> npt.NDArray[np.uint8]:
        """uint8 [B, H, W] from standard normal [B, Z] and conditions [B, L], 1 = present."""


def check_generator(
    generator: Generator,
    *,
    name: str,
    targets: Sequence[str],
    image_size: int,
    upsample: bool = False,
    label_map: LabelMap = (),
) -> None:
    """Raise UsageError unless `generator` can show every target at `image_size` pixels."""
    for target in targets:
        ways = (
            f"show it as another label by --label-map '{target}=LABEL', or train a generator on "
            "your own shards by xbuild fit-gan."
        )
        if (label := label_for(target, generator.labels, label_map)) is None:
            raise UsageError(
                f"The generator {name} cannot show {target}: it knows "
                f"{named_labels(generator.labels)}; {ways}"
            )
        unseen = getattr(generator, "unseen", ())
        if find_pathology(label, unseen) is not None:
            seen = [known for known in generator.labels if find_pathology(known, unseen) is None]
            raise UsageError(
                f"The generator {name} has never seen {label}: no image it was trained on had it, "
                f"and images had {named_labels(seen)}; {ways}"
            )
    if generator.resolution < image_size and not upsample:
        raise UsageError(
            f"The generator {name} makes {generator.resolution} pixels and --image-size asks for "
            f"{image_size}: use --image-size {generator.resolution}, or --upsample if a classifier "
            "may learn that blurred images are rare ones."
        )


def start_batch(
    generator: Generator, latents: Floats, labels: Floats, size: int | None = None, name: str = ""
) -> Finish:
    """Begin a batch; the function that is returned waits for it and gives its images.

    They have `size` pixels on a side where that is asked for and the generator can do it. `name` is
    the generator's in a message.
    """
    code = partial(
        plugin_code,
        type(generator).__module__,
        f"The generator {name or type(generator).__name__} cannot make images",
        "complete shards are kept: mend its package, and run the same command again",
        memory=True,
    )
    with code():
        if (start := getattr(generator, "start", None)) is not None:
            wanted = (size,) if size and getattr(generator, "resizes", False) else ()
            finish: Finish = start(latents, labels, *wanted)
        else:
            images = _own(generator(latents, labels))
            return lambda: images

    def get() -> npt.NDArray[np.uint8]:
        with code():
            return _own(finish())

    return get


def _own(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A copy, for a plug-in may put the next batch where this one was; what is no array passes."""
    return np.array(images) if isinstance(images, np.ndarray) else images


def side_of(generator: Generator, size: int) -> int:
    """The pixels on a side of a batch's images where `size` is asked for."""
    return size if getattr(generator, "resizes", False) else generator.resolution
