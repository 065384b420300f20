"""A batch → one step of the optimizer; what a step is does not depend on the number of ranks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from builder.contract import Labels, UsageError
from builder.contract.weights import scale
from trainer.arms.flip import Augmentation
from trainer.arms.material import Weights
from trainer.fit.fabric import Fabric
from trainer.fit.score import masked_loss
from trainer.fit.shared_batchnorm import with_shared_statistics
from trainer.recipe import Optimizer, Recipe
from trainer.stream.batches import Batch
from trainer.stream.order import cut

MAKE_OPTIMIZER: dict[Optimizer, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "momentum": lambda weights, lr, fused=None: torch.optim.SGD(
        weights, lr=lr, momentum=0.9, fused=fused
    ),
}


def check_pieces(count: int, batch: int, pieces: int) -> None:
    """Raise UsageError where some batch of an epoch of `count` images is too small for `pieces`."""
    smallest = min(map(len, cut(count, batch)))
    if smallest // pieces < 2:
        raise UsageError(
            f"The {count} images of an epoch make batches of {smallest}, too few for {pieces}"
            " pieces of two or more: use a larger --batch or fewer pieces."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageWeights:
    """How much each image's loss counts in a step."""

    images: torch.Tensor  # float32 [B], of one rank's share
    known: float  # the sum over the known labels of the whole batch, the shares of all ranks

    @classmethod
    def of(cls, places: Weights, labels: Labels, batch: Batch, start: int) -> "ImageWeights":
        """Those of a batch from position `start` on, of an epoch's weights and labels by place."""
        whole = slice(start, batch.position)
        known = (labels[whole] >= 0).sum(axis=1)
        return cls(
            images=torch.from_numpy(places)[batch.places],
            known=float(places[whole].astype(float) @ known),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepper:
    """A network and its optimizer."""

    fabric: Fabric
    model: nn.Module  # the network itself
    network: nn.Module  # the same, as the fabric runs it
    optimizer: torch.optim.Optimizer
    wrapped: Any  # the optimizer as the fabric steps it
    pieces: int  # in which a rank's share of a batch goes through the network
    positive_weight: torch.Tensor | None  # [L], of a positive's loss

    @classmethod
    def make(
        cls,
        model: nn.Module,
        recipe: Recipe,
        fabric: Fabric,
        positive_weight: tuple[float, ...] | None,
    ) -> "Stepper":
        """The network on the fabric's device, with the recipe's optimizer."""
        weight, device = positive_weight, fabric.device
        # One kernel updates a weight, and reads it once.
        fused = True if device.type in ("cpu", "cuda") else None
        optimizer = MAKE_OPTIMIZER[recipe.optimizer](model.parameters(), lr=recipe.lr, fused=fused)
        if recipe.sync_batchnorm and fabric.world_size > 1:
            model = with_shared_statistics(model)
        compiled: Any = torch.compile(model) if recipe.compile else model
        network, wrapped = fabric.setup(compiled, optimizer)
        return cls(
            fabric=fabric,
            model=model,
            network=network,
            optimizer=optimizer,
            wrapped=wrapped,
            pieces=recipe.accumulate,
            positive_weight=None if weight is None else torch.tensor(weight, device=device),
        )

    def use_rate(self, rate: float) -> None:
        """Take the next steps with this learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(
        self,
        batch: Batch,
        augment: Augmentation,
        sums: torch.Tensor,
        weights: ImageWeights | None = None,
    ) -> None:
        """Take a step; add the sum of the loss and the number of known labels to `sums` [2].

        With `weights` both are weighted, and the step follows the weighted mean of the batch.
        """
        fabric, known_in_all = self.fabric, weights.known if weights else batch.known
        images = augment(batch.images.to(fabric.device, non_blocking=True), batch.places)
        labels = batch.labels.to(fabric.device, non_blocking=True)
        own = weights.images.to(fabric.device, non_blocking=True) if weights else None
        cut_own = [None] * self.pieces if own is None else own.tensor_split(self.pieces)
        parts = (images.tensor_split(self.pieces), labels.tensor_split(self.pieces), cut_own)
        self.wrapped.zero_grad()
        for number, (x, y, w) in enumerate(zip(*parts, strict=True), 1):
            waits = number < self.pieces  # for the last piece, when ranks exchange gradients
            with fabric.no_backward_sync(self.network, enabled=waits):  # type: ignore[arg-type]
                summed, known = masked_loss(self.network(scale(x)), y, self.positive_weight, w)
                # The mean over the whole batch; DDP divides the sum of the gradients by the ranks.
                fabric.backward(summed * (fabric.world_size / (known_in_all or 1)))
            sums += torch.stack([summed.detach(), known])
        self.wrapped.step()

    def share_buffers(self) -> None:
        """Give every rank the first one's batch statistics, of which each rank has its own."""
        if self.fabric.world_size > 1:
            for buffer in self.model.buffers():
                torch.distributed.broadcast(buffer, 0)
