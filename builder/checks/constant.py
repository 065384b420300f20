"""Images without content; generators return them for values that are not finite."""

from collections.abc import Sequence
from dataclasses import dataclass

from builder.checks.check import Context, Judge
from builder.contract import Bytes, Sample, Split, UsageError

# Grey levels between the darkest and the brightest pixel; JPEG may level out fewer.
MIN_CONTRAST = 8


@dataclass(frozen=True, slots=True)
class Constant:
    """The check `constant`."""

    identity: str = "constant"
    needs: tuple[Split, ...] = ()

    def prepared(self, context: Context, targets: Sequence[str]) -> Judge:  # noqa: ARG002
        """`reasons_against`: it needs no preparation."""
        return reasons_against


def load(argument: str) -> Constant:
    """The check, which takes no argument."""
    if argument:
        raise UsageError(f"The check constant takes no argument, got {argument!r}.")
    return Constant()


def reasons_against(images: Bytes, samples: Sequence[Sample]) -> list[str]:  # noqa: ARG001
    """Rejects images whose pixels are all the same, or nearly."""
    flat = images.reshape(len(images), -1)
    empty = flat.max(axis=1) < flat.min(axis=1).astype(int) + MIN_CONTRAST
    return ["its pixels are all nearly the same" if is_empty else "" for is_empty in empty.tolist()]
