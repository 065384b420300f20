"""A check of your own: an image must be about as bright as real ones that were held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from builder.checks import Context, Judge
from builder.contract import Bytes, Sample


@dataclass(frozen=True)
class Brightness:
    """Rejects an image that is darker or brighter than all but `tail` of the held-out real ones."""

    tail: float

    needs = ("val",)  # the splits whose real images `prepared` looks at
    # software = ("torch",)  distributions on whose versions the verdict depends

    @property
    def identity(self) -> str:
        """What goes into the recipe: the check with all that its argument says."""
        return f"brightness:{self.tail!r}"

    def prepared(self, context: Context, targets: Sequence[str]) -> Judge:  # noqa: ARG002
        """The judge; this is called once, before any image is rendered."""
        means = [
            context.pixels([member]).mean(dtype=np.float64) for _, member in context.members("val")
        ]
        low, high = np.quantile(means, (self.tail / 2, 1 - self.tail / 2))
        return Limits(float(low), float(high))


@dataclass(frozen=True)
class Limits:
    """The judge, which every process gets as a pickle."""

    low: float
    high: float

    def __call__(self, images: Bytes, samples: Sequence[Sample]) -> list[str]:  # noqa: ARG002
        """For each image of uint8 [B, H, W] the reason against it, "" without one."""
        means = images.mean(axis=(1, 2), dtype=np.float64)
        return [
            "" if self.low <= mean <= self.high else "its brightness is unusual" for mean in means
        ]


def load(argument: str) -> Brightness:
    """Called by `--check brightness`, or `brightness:0.02` for a tail of 2 %."""
    return Brightness(float(argument or 0.01))
