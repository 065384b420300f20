"""What a model predicts for rows of a dataset, and how far that is from their labels."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from builder.contract import Labels
from builder.contract.precision import arithmetic
from builder.contract.weights import scale
from trainer.fit.control import Place, Wish, stopped
from trainer.fit.devices import merged, total
from trainer.stream.batches import Dataset, batches
from trainer.stream.order import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a model predicts for rows, in their order; labels are unknown if no image was read."""

    logits: torch.Tensor  # float32 [N, L]
    labels: Labels  # [N, L]
    unread: dict[int, str]  # reason by row


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What a model scores on the validation images."""

    loss: float  # mean over the known labels
    aucs: tuple[float | None, ...]  # per pathology; None where a class is missing
    unread: dict[int, str]  # reason by row

    @property
    def auc_mean(self) -> float | None:
        """The mean over the pathologies with both classes; None where no pathology has."""
        known = [value for value in self.aucs if value is not None]
        return sum(known) / len(known) if known else None


def masked_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    positive_weight: torch.Tensor | None = None,
    image_weight: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum, count) of the binary cross-entropy over the known labels [B, L] in {1, 0, -1}.

    With `image_weight` [B] an image's labels count that much in both.
    """
    known = (labels >= 0).float()
    if image_weight is not None:
        known = known * image_weight[:, None]
    summed = binary_cross_entropy_with_logits(
        logits, labels.clamp(min=0), weight=known, pos_weight=positive_weight, reduction="sum"
    )
    return summed, known.sum()


def auc(labels: Labels, scores: npt.NDArray[np.float32]) -> float | None:
    """The area under the ROC curve over the known labels [N]; None where a class is missing."""
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        return None
    return float(roc_auc_score(labels[known], scores[known]))


def scoring_batch(device: torch.device) -> int:
    """How many images are scored at a time; apart from the batch of training, which may be small.

    On a CPU more are no faster, and need memory.
    """
    return 256 if device.type == "cuda" else 32


@torch.inference_mode()
def logits_of(model: nn.Module, images: torch.Tensor, *, size: int) -> torch.Tensor:
    """float32 [B, L] of B ≤ `size` images uint8 [B, 1, H, W] on the model's device.

    Computed in float32 in whatever precision the model was trained: logits in bfloat16 have so few
    values that AUCs move. As if `size` images had come, because the last bits depend on how many
    they are. Where the device does not have the memory for them, half as many at a time.
    """
    count = len(images)
    padding = images[-1:].expand(size - count, -1, -1, -1)
    try:
        with arithmetic("fp32"):
            logits: torch.Tensor = model(scale(torch.cat([images, padding])))
        return logits[:count].float()
    except torch.OutOfMemoryError:
        if size == 1:
            raise
    half = (size + 1) // 2
    return torch.cat([logits_of(model, part, size=half) for part in torch.split(images, half)])


def probabilities_of(logits: torch.Tensor) -> torch.Tensor:
    """float32 [N, L] on the CPU: the sigmoids, the same for one row as among many.

    In float64, because the last bit of torch's float32 sigmoid depends on a value's place.
    """
    return torch.sigmoid(logits.cpu().double()).float()


@torch.inference_mode()
def outputs(
    data: Dataset, model: nn.Module, rows: Rows, place: Place, *, size: int | None = None, what: str
) -> Outputs:
    """What the model predicts for `rows`; several ranks share them. Stopped if a signal came.

    `size` images go through the network at a time; None: as many as `scoring_batch` says.
    """
    fabric = place.fabric
    size = size or scoring_batch(fabric.device)
    found = torch.zeros(2, len(rows), len(data.manifest.pathologies))
    unread: dict[int, str] = {}
    parts, places = list[torch.Tensor](), list[torch.Tensor]()  # read once: reading waits for a GPU
    own_size = -(-size // fabric.world_size)
    model.eval()
    share = (fabric.global_rank, fabric.world_size)
    stream = batches(
        data, rows, size=size, workers=place.workers, what=what, share=share, device=fabric.device
    )
    with closing(stream):
        for batch in stream:
            if len(batch.rows):  # the last pieces may have fewer images than there are ranks
                images = batch.images.to(fabric.device, non_blocking=True)
                parts.append(logits_of(model, images, size=own_size))
                places.append(batch.places)
                found[1, batch.places] = batch.labels
            unread |= batch.bad
            if place.control.wish() is Wish.STOP:
                raise stopped(f"in {what}", place.control.signal)
    if parts:
        found[0, torch.cat(places)] = torch.cat(parts).cpu()
    found, unread = total(fabric, found).cpu(), merged(fabric, unread)
    return Outputs(logits=found[0], labels=found[1].numpy().astype(np.int8), unread=unread)


def validate(data: Dataset, model: nn.Module, place: Place) -> Validation:
    """What the model scores on the validation images; Stopped as above."""
    found = outputs(data, model, data.rows("val"), place, what="validation")
    summed, known = masked_loss(found.logits, torch.from_numpy(found.labels).float())
    scores = probabilities_of(found.logits).numpy()
    return Validation(
        loss=float(summed / known.clamp(min=1)),
        aucs=tuple(auc(labels, scores[:, i]) for i, labels in enumerate(found.labels.T)),
        unread=found.unread,
    )
