"""A generator that is not here, as a manifest describes it → Loaded.

The weights of a generator often stay with those who trained it. Who has all its images as they were
sealed needs no weights: the real half is packed, and nothing is rendered.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.contract import CheckError, Manifest, printable
from builder.contract.record import as_record
from builder.generators import GeneratorFacts, Loaded
from builder.render.generator import Floats


@dataclass(slots=True, kw_only=True)
class AbsentGenerator:
    """It has the labels and sizes of the generator, and renders nothing."""

    labels: tuple[str, ...]
    resolution: int
    latent_size: int

    def __call__(self, latents: Floats, labels: Floats) -> npt.NDArray[np.uint8]:  # noqa: ARG002
        """CheckError: an image that was here is asked for again."""
        raise CheckError(
            "A synthetic shard was lost while its dataset was rebuilt, and its generator is not "
            "here: get the shard once more, or name the generator by --generator."
        )


def absent(manifest: Manifest) -> Loaded:
    """The generator that rendered a manifest's images; CheckError where that is not said."""
    what = "The manifest's generator"
    facts = as_record(manifest.generator, GeneratorFacts, what, exact=False)
    if strange := [label for label in facts.labels if printable(label) != label]:
        raise CheckError(f"{what} is refused: {printable(strange[0])!r} is no label.")
    return Loaded(
        name=facts.name,
        sha256=facts.sha256,
        generator=AbsentGenerator(
            labels=facts.labels, resolution=facts.resolution, latent_size=facts.latent_size
        ),
    )
