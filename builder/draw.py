"""A label vector and a latent for each synthetic image, pure functions of the recipe → Draw."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from builder.contract import Labels, Sample
from builder.labels import canonical
from builder.plan import Plan, philox

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """S synthetic images to render, with their targets evenly interleaved."""

    name: str  # of the dataset; keys begin with it
    targets: tuple[str, ...]  # [T]
    target: npt.NDArray[np.int64]  # [S] place in `targets`
    number: npt.NDArray[np.int64]  # [S] draw number within the target
    labels: Labels  # int8 [S, L]: label vectors of real images with the target, unknowns (-1)
    # included; or the target alone, as the plan says

    def __len__(self) -> int:
        """The number of images."""
        return len(self.target)

    def samples(self, start: int, stop: int) -> Iterator[Sample]:
        """The samples `start` … `stop`, without pixels."""
        stems = [f"{self.name}-{slug(target)}" for target in self.targets]
        for i in range(start, stop):
            which, number = self.target[i], int(self.number[i])
            yield Sample(
                key=f"{stems[which]}-{number:07d}",
                split="train",
                origin="synthetic",
                target=self.targets[which],
                draw=number,
                patient="",
                labels=tuple(self.labels[i].tolist()),
            )

    def draws_per_target(self) -> Mapping[str, int]:
        """The number of draws that are planned for each target."""
        counts = np.bincount(self.target, minlength=len(self.targets)).tolist()
        return dict(zip(self.targets, counts, strict=True))


def slug(pathology: str) -> str:
    """A pathology's name as it stands in keys: [a-z0-9_-] only."""
    plain = canonical(pathology).replace(" ", "-")
    return "".join(c if (c.isascii() and c.isalnum()) or c in "_-" else "_" for c in plain)


def draw(plan: Plan, labels: Labels, name: str) -> Draw:
    """The images that `plan` asks for; `labels` is the int8 [N, L] matrix that it was made from.

    Image j of the n images for a target comes at (j + ½)/n of the dataset, so that any stretch of
    it holds every target in proportion.
    """
    target = np.repeat(np.arange(len(plan.render)), plan.render)
    number = np.concatenate([np.arange(n) for n in plan.render])
    vectors = [plan.label_vectors(i, labels) for i in range(len(plan.render))]
    place = (number + 0.5) / np.repeat(plan.render, plan.render)
    order = np.lexsort((target, place))
    return Draw(
        name=name,
        targets=plan.names,
        target=target[order],
        number=number[order],
        labels=np.concatenate(vectors)[order],
    )


def latents(numbers: npt.ArrayLike, size: int, *, seed: int, name: str) -> Floats:
    """float32 [B, size] standard normal latents, one row per draw number of the stream `name`.

    A latent depends on (seed, name, number) alone: the same in any batch, worker or restart.
    Box–Muller on Philox words; the counter of a draw is its number times the words it needs.
    """
    wanted = np.asarray(numbers, dtype=np.int64)
    blocks = -(-size // 4)  # Philox makes four words at a time
    words = np.empty((len(wanted), 4 * blocks), dtype=np.uint64)
    for run in np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(wanted) != 1) + 1):
        if len(run):  # consecutive numbers lie side by side in the stream
            stream = philox(seed, "latent", name)
            stream.advance(int(wanted[run[0]]) * blocks)
            words[run] = stream.random_raw(len(run) * 4 * blocks).reshape(len(run), -1)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(uniform[:, 0::2]))
    angle = 2.0 * np.pi * uniform[:, 1::2]
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return normal.reshape(len(wanted), 4 * blocks)[:, :size].astype(np.float32)
