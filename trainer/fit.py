"""Epochs of training: weights of the best epoch, a history, and a checkpoint to go on from.

A run is a pure function of (dataset, recipe) on one machine's CPU: stopped anywhere and resumed,
it ends with the weights and the history of the unbroken run.

    out/last.pt             model, optimiser and history after the last epoch (weights_only)
    out/best.safetensors    weights of the best epoch so far
    out/history.csv         losses and validation AUCs per epoch; the same for the same run
    out/timing.csv          seconds, images/s and data wait per epoch
    out/config.json         what was asked, resolved
"""

import csv
import io
import itertools
import json
import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from builder.contract import CheckError, UsageError, write_last
from trainer.augment import Augment, augmentation
from trainer.model import load_checkpoint, predict, save_weights
from trainer.stream import Batch, Dataset, Rows, batches, epoch_rows, scale

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "momentum": lambda weights, lr: torch.optim.SGD(weights, lr=lr, momentum=0.9),
}
LOOK_EVERY = 50  # steps between looks at the loss; each look waits for the GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What decides the weights of a run, the dataset apart."""

    epochs: int
    batch: int
    lr: float
    optimizer: str  # a key of OPTIMIZERS
    augment: str  # one of augment.AUGMENTS
    init: str  # random, imagenet or a path
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run computes and writes; it decides the speed, not the result."""

    out: Path
    device: torch.device
    workers: int  # decode threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One row of the history; losses are means over the known labels."""

    epoch: int  # from 1
    train_loss: float
    val_loss: float
    val_auc_mean: float | None  # over the pathologies with both classes; None: there is none
    val_auc: tuple[float | None, ...]  # per pathology


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How fast an epoch was: its training steps, validation apart."""

    epoch: int
    seconds: float
    images_per_second: float
    data_wait: float  # share of the seconds spent waiting for batches


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """The epoch with the highest mean validation AUC; among equals, or without one, lowest loss."""
    return max(history, key=lambda row: (row.val_auc_mean or 0.0, -row.val_loss))


def masked_loss(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum, count) of the binary cross-entropy over the known labels [B, L] in {1, 0, -1}."""
    known = (labels >= 0).float()
    total = binary_cross_entropy_with_logits(
        logits, labels.clamp(min=0), weight=known, reduction="sum"
    )
    return total, known.sum()


def auc(labels: npt.NDArray[np.int8], scores: npt.NDArray[np.float32]) -> float | None:
    """The area under the ROC curve over the known labels [N]; None where a class is missing."""
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        return None
    return float(roc_auc_score(labels[known], scores[known]))


def fit(
    data: Dataset,
    model: nn.Module,
    recipe: Recipe,
    place: Place,
    *,
    facts: dict[str, Any],
    resume: bool,
) -> tuple[Epoch, ...]:
    """The history of all epochs; after each of them the files named above are complete.

    `facts` go into config.json. UsageError when the loss diverges or when the checkpoint in
    `place.out` is another run's.
    """
    model.to(place.device)
    optimizer = OPTIMIZERS[recipe.optimizer](model.parameters(), lr=recipe.lr)
    run = Run(data, model, optimizer, recipe, place, facts)
    if resume and (place.out / "last.pt").is_file():
        run.load()
    while len(run.history) < recipe.epochs:
        number = len(run.history) + 1
        train_loss, timing = run.train(number)
        run.history.append(run.validate(number, train_loss))
        run.timings.append(timing)
        run.save()
    return tuple(run.history)


@dataclass(slots=True)
class Run:
    """Weights, optimiser and history on their way from epoch to epoch."""

    data: Dataset
    model: nn.Module
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    place: Place
    facts: dict[str, Any]
    history: list[Epoch] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)

    def train(self, epoch: int) -> tuple[float, Timing]:
        """(mean loss over the known labels, timing) of one pass over the training rows."""
        self.model.train()
        rows = epoch_rows(self.data, seed=self.recipe.seed, epoch=epoch)
        augment = augmentation(
            self.recipe.augment, count=len(self.data.index), seed=self.recipe.seed, epoch=epoch
        )
        sums = torch.zeros(2, device=self.place.device)
        waited, began = 0.0, time.perf_counter()
        with closing(self._stream(rows, f"epoch {epoch}/{self.recipe.epochs}")) as stream:
            for step in itertools.count(1):
                asked = time.perf_counter()
                batch = next(stream, None)
                waited += time.perf_counter() - asked
                if batch is None:
                    break
                sums += self._step(batch, augment)
                if step % LOOK_EVERY == 0:
                    self._check(float(sums[0]), epoch)
        loss = float(sums[0] / sums[1].clamp(min=1))
        self._check(loss, epoch)
        seconds = time.perf_counter() - began
        return loss, Timing(
            epoch=epoch,
            seconds=seconds,
            images_per_second=len(rows) / seconds,
            data_wait=waited / seconds,
        )

    def _stream(self, rows: Rows, what: str) -> Generator[Batch, None, None]:
        place = self.place
        return batches(
            self.data,
            rows,
            size=self.recipe.batch,
            workers=place.workers,
            what=what,
            device=place.device,
        )

    def _step(self, batch: Batch, augment: Augment) -> torch.Tensor:
        device = self.place.device
        images = augment(batch.images.to(device, non_blocking=True), batch.rows)
        labels = batch.labels.to(device, non_blocking=True)
        total, known = masked_loss(self.model(scale(images)), labels)
        self.optimizer.zero_grad()
        torch.autograd.backward(total / known.clamp(min=1))
        self.optimizer.step()
        return torch.stack([total.detach(), known])

    def _check(self, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            last = self.place.out / "last.pt"
            kept = f"{last} holds epoch {epoch - 1}" if epoch > 1 else "nothing was saved"
            raise UsageError(
                f"The loss is not finite in epoch {epoch} at --lr {self.recipe.lr:g}: try a smaller"
                f" one ({kept})."
            )

    def validate(self, epoch: int, train_loss: float) -> Epoch:
        """The epoch's row: loss and AUCs on the validation images."""
        rows = self.data.rows("val")
        with closing(self._stream(rows, "validation")) as stream:
            logits = predict(self.model, stream, self.place.device)
        labels = self.data.index.labels[rows]
        total, known = masked_loss(logits, torch.from_numpy(labels.astype(np.float32)))
        loss = float(total / known.clamp(min=1))
        self._check(loss, epoch)
        scores = torch.sigmoid(logits).numpy()
        aucs = tuple(auc(labels[:, i], scores[:, i]) for i in range(labels.shape[1]))
        there = [value for value in aucs if value is not None]
        return Epoch(
            epoch=epoch,
            train_loss=train_loss,
            val_loss=loss,
            val_auc_mean=sum(there) / len(there) if there else None,
            val_auc=aucs,
        )

    def save(self) -> None:
        """Everything as of the last epoch; the checkpoint comes after the weights it speaks of."""
        out = self.place.out
        write_last(out / "config.json", (json.dumps(self.facts, indent=2) + "\n").encode())
        if best_epoch(self.history) is self.history[-1]:
            write_last(out / "best.safetensors", save_weights(self.model, self._header()))
        buffer = io.BytesIO()
        state = {
            "identity": self._identity(),
            "history": [asdict(row) for row in self.history],
            "timings": [asdict(row) for row in self.timings],
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, buffer)
        write_last(out / "last.pt", buffer.getvalue())
        self._write_tables()

    def load(self) -> None:
        """Go on from last.pt; UsageError names the field in which it is another run's."""
        path = self.place.out / "last.pt"
        state = load_checkpoint(path)
        if not isinstance(begun := state.get("identity"), dict):
            raise CheckError(f"{path} is not a checkpoint of xtrain.")
        for name, now in self._identity().items():
            then = begun.get(name)
            if type(then) is not type(now) or then != now:
                raise UsageError(
                    f"{path} was begun with {name} {then}, now it is {now}: resume with the same,"
                    " or choose another --out."
                )
        try:
            self.history = [Epoch(**row) for row in state["history"]]
            self.timings = [Timing(**row) for row in state["timings"]]
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self._write_tables()
            best_epoch(self.history)
        except (TypeError, ValueError, RuntimeError, KeyError, IndexError) as error:
            raise CheckError(f"{path} does not fit this version: {error}.") from None
        if len(self.history) > self.recipe.epochs:
            raise UsageError(f"{path} already has {len(self.history)} epochs: raise --epochs.")

    def _identity(self) -> dict[str, Any]:
        """What must agree to resume; more epochs only go further."""
        facts = asdict(self.recipe)
        del facts["epochs"]
        return {"manifest": self.data.manifest.digest, **facts}

    def _header(self) -> dict[str, Any]:
        manifest = self.data.manifest
        facts = {"pathologies": manifest.pathologies, "image": asdict(manifest.image)}
        return facts | self._identity() | {"epoch": len(self.history)}

    def _write_tables(self) -> None:
        names = [f"val_auc:{name}" for name in self.data.manifest.pathologies]
        header = ["epoch", "train_loss", "val_loss", "val_auc_mean", *names]
        rows = [(*astuple(row)[:-1], *row.val_auc) for row in self.history]
        write_last(self.place.out / "history.csv", _table(header, rows))
        header = [column.name for column in fields(Timing)]
        rows = [astuple(row) for row in self.timings]
        write_last(self.place.out / "timing.csv", _table(header, rows))


def _table(header: Sequence[str], rows: Iterable[Sequence[float | None]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([round(x, 6) if isinstance(x, float) else x for x in row])
    return text.getvalue().encode()
