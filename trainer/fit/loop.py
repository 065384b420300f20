"""Steps of training: weights of the best epoch, a history, and a checkpoint to go on from.

A run is a pure function of (dataset, recipe) on one machine's CPU: stopped anywhere and resumed,
it ends with the weights and the history of the unbroken run.

    out/last.pt             all that is needed to go on (checkpoint.py)
    out/best.safetensors    weights of the best epoch so far
    out/config.json         what was asked, resolved
    out/*.csv               what history.py says
"""

import json
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from builder.contract import Stopped, UsageError, write_last
from builder.contract.weights import WeightsHeader, scale, weights_bytes
from trainer.arms import Arm
from trainer.arms.flip import Augment, augmentation
from trainer.fit.checkpoint import Partial, State, load_state, save_state
from trainer.fit.control import Place, Wish, stopped
from trainer.fit.history import (
    Epoch,
    Timing,
    best_epoch,
    receipt,
    write_history,
    write_notes,
    write_unread,
)
from trainer.fit.score import auc, masked_loss, outputs
from trainer.recipe import Recipe
from trainer.stream.batches import Batch, Dataset, batches
from trainer.stream.order import Cursor, Rows, cut

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "momentum": lambda weights, lr: torch.optim.SGD(weights, lr=lr, momentum=0.9),
}
LOOK_EVERY = 50  # steps between looks at the loss; each look waits for the GPU


def fit(
    data: Dataset,
    arm: Arm,
    model: nn.Module,
    recipe: Recipe,
    place: Place,
    *,
    facts: dict[str, Any],
    resume: bool,
) -> State:
    """The state after the last epoch; the files named above are complete after each save.

    `facts` go into config.json. Saves when `place.control` wishes it and after each epoch; Stopped
    after a signal. UsageError when the loss diverges or the checkpoint in `place.out` is another
    run's.
    """
    run = Run.begin(data, arm, model, recipe, place, facts)
    if resume and place.fabric.broadcast((place.out / "last.pt").is_file()):
        run.load()
    while (epoch := run.state.cursor.epoch) <= recipe.epochs:
        rows = arm.order.epoch(epoch)
        run.train(rows)
        run.finish(rows)
    return run.state


def check_pieces(count: int, batch: int, pieces: int) -> None:
    """Raise UsageError where some batch of an epoch of `count` images is too small for `pieces`."""
    smallest = min(map(len, cut(count, batch)))
    if smallest // pieces < 2:
        raise UsageError(
            f"The {count} images of an epoch make batches of {smallest}, too few for {pieces}"
            " pieces of two or more: use a larger --batch or fewer pieces."
        )


@dataclass(slots=True, kw_only=True)
class Run:
    """Weights, optimiser and state on their way from step to step."""

    data: Dataset
    arm: Arm
    model: nn.Module  # the network itself
    network: nn.Module  # the same, as the fabric runs it
    optimizer: torch.optim.Optimizer
    stepper: Any  # the same, as the fabric steps it
    recipe: Recipe
    place: Place
    facts: dict[str, Any]  # of config.json
    state: State
    positive_weight: torch.Tensor | None

    @classmethod
    def begin(
        cls,
        data: Dataset,
        arm: Arm,
        model: nn.Module,
        recipe: Recipe,
        place: Place,
        facts: dict[str, Any],
    ) -> "Run":
        """A run before its first step; UsageError where a batch has too few images to be cut."""
        fabric, weight = place.fabric, arm.positive_weight
        for count in sorted({arm.order.count(epoch) for epoch in range(1, recipe.epochs + 1)}):
            check_pieces(count, recipe.batch, fabric.world_size * recipe.accumulate)
        optimizer = OPTIMIZERS[recipe.optimizer](model.parameters(), lr=recipe.lr)
        shown: Any = torch.compile(model) if recipe.compile else model
        network, stepper = fabric.setup(shown, optimizer)
        return cls(
            data=data,
            arm=arm,
            model=model,
            network=network,
            optimizer=optimizer,
            stepper=stepper,
            recipe=recipe,
            place=place,
            facts=facts,
            state=State(
                cursor=Cursor(order=arm.order.digest, epoch=1, position=0),
                partial=Partial.nothing(len(data.index), fabric.device),
            ),
            positive_weight=None if weight is None else torch.tensor(weight, device=fabric.device),
        )

    def train(self, rows: Rows) -> None:
        """Take the steps of the epoch that are left."""
        cursor, recipe, fabric = self.state.cursor, self.recipe, self.place.fabric
        if cursor.epoch == self.arm.choose_from and not cursor.position:
            self.optimizer.state.clear()  # after synthetic images: a training of its own
        augment = augmentation(
            self.arm.augment, count=len(rows), seed=recipe.seed, epoch=cursor.epoch
        )
        what = f"epoch {cursor.epoch}/{recipe.epochs}"
        self.network.train()
        stream = batches(
            self.data,
            rows,
            size=recipe.batch,
            workers=self.place.workers,
            what=what,
            start=cursor.position,
            share=(fabric.global_rank, fabric.world_size),
            device=fabric.device,
        )
        began = time.perf_counter()
        with closing(stream):
            for number, batch in enumerate(stream, 1):
                self._step(batch, augment)
                self._note(batch, time.perf_counter() - began)
                began = time.perf_counter()
                if number % LOOK_EVERY == 0:
                    self._look()
                self._heed(f"after {batch.position:,} of {len(rows):,} images of {what}")

    def _step(self, batch: Batch, augment: Augment) -> None:
        fabric, pieces = self.place.fabric, self.recipe.accumulate
        images = augment(batch.images.to(fabric.device, non_blocking=True), batch.places)
        labels = batch.labels.to(fabric.device, non_blocking=True)
        both = zip(images.tensor_split(pieces), labels.tensor_split(pieces), strict=True)
        self.stepper.zero_grad()
        for number, (x, y) in enumerate(both, 1):
            with fabric.no_backward_sync(self.network, enabled=number < pieces):  # type: ignore[arg-type]
                summed, known = masked_loss(self.network(scale(x)), y, self.positive_weight)
                # The mean over the whole batch; DDP divides the sum of the gradients by the ranks.
                fabric.backward(summed * (fabric.world_size / max(1, batch.known)))
            self.state.partial.sums += torch.stack([summed.detach(), known])
        self.stepper.step()

    def _note(self, batch: Batch, seconds: float) -> None:
        state, partial = self.state, self.state.partial
        partial.seen.index_add_(0, batch.rows, torch.ones(len(batch.rows), dtype=torch.int32))
        partial.seen[-1] += len(batch.bad)
        partial.seconds += seconds
        partial.waited += batch.waited
        state.unread |= batch.bad
        state.cursor = replace(state.cursor, position=batch.position)

    def _look(self) -> None:
        partial = self.state.partial
        loss = partial.loss
        self._check(loss)
        self._track({"train_loss": loss, "data_wait": partial.waited / partial.seconds})

    def _track(self, values: dict[str, float]) -> None:
        state = self.state
        images = sum(row.images for row in state.receipts) + state.cursor.position
        for tracker in self.place.trackers:
            tracker.log(images, values)

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UsageError(
                f"The loss is not finite in epoch {self.state.cursor.epoch} at"
                f" --lr {self.recipe.lr:g}: try a smaller one, with another --out."
            )

    def _heed(self, where: str) -> None:
        wish = self.place.control.wish()
        if wish is not Wish.GO_ON:
            self.save()
        if wish is Wish.STOP:
            raise stopped(where, self.place.control.signal)

    def finish(self, rows: Rows) -> None:
        """Prove that the epoch was whole, validate it, and save everything as of its end."""
        state, fabric = self.state, self.place.fabric
        epoch, partial = state.cursor.epoch, state.partial.gathered(fabric)
        seen = partial.seen.numpy()
        proof = receipt(epoch, rows, seen[:-1], unread=int(seen[-1]))
        self._check(partial.loss)
        row = self.validate(partial.loss)
        state.history.append(row)
        state.receipts.append(proof)
        state.timings.append(
            Timing(
                epoch=epoch,
                seconds=partial.seconds,
                images_per_second=len(rows) / partial.seconds,
                data_wait=partial.waited / partial.seconds,
            )
        )
        state.cursor = replace(state.cursor, epoch=epoch + 1, position=0)
        state.partial = Partial.nothing(len(self.data.index), fabric.device)
        self.save()
        self._keep_best()
        means = {} if row.val_auc_mean is None else {"val_auc": row.val_auc_mean}
        self._track({"train_loss": row.train_loss, "val_loss": row.val_loss} | means)

    def validate(self, train_loss: float) -> Epoch:
        """The epoch's row: loss and AUCs on the validation images."""
        if self.place.fabric.world_size > 1:
            for buffer in self.model.buffers():  # each rank has statistics of its own
                torch.distributed.broadcast(buffer, 0)
        rows, size = self.data.rows("val"), self.recipe.batch
        try:
            found = outputs(self.data, self.model, rows, self.place, size=size, what="validation")
        except Stopped:
            self.save()
            raise
        self.state.unread |= found.unread
        summed, known = masked_loss(found.logits, torch.from_numpy(found.labels).float())
        loss = float(summed / known.clamp(min=1))
        self._check(loss)
        scores = torch.sigmoid(found.logits).numpy()
        aucs = tuple(auc(labels, scores[:, i]) for i, labels in enumerate(found.labels.T))
        there = [value for value in aucs if value is not None]
        return Epoch(
            epoch=self.state.cursor.epoch,
            train_loss=train_loss,
            val_loss=loss,
            val_auc_mean=sum(there) / len(there) if there else None,
            val_auc=aucs,
        )

    def save(self) -> None:
        """Write config.json, last.pt and the tables; all ranks must call it, the first writes."""
        state, place = self.state.gathered(self.place.fabric), self.place
        self._check(state.partial.loss)
        if place.fabric.is_global_zero:
            asked = json.dumps(self.facts, indent=2) + "\n"
            write_last(place.out / "config.json", asked.encode())
            path = place.out / "last.pt"
            save_state(path, state, self._identity(), self.model, self.optimizer)
            self._write_tables(state)
        place.fabric.barrier()  # nobody reads what is not there yet
        place.control.saved()

    def _keep_best(self) -> None:
        """Write the weights after the last epoch if it is the best; after last.pt that says so."""
        history = self.state.history
        if best_epoch(history, self.arm.choose_from) is history[-1]:
            if self.place.fabric.is_global_zero:
                header = self._header(history[-1].epoch)
                weights = weights_bytes(self.model, header, self._identity())
                write_last(self.place.out / "best.safetensors", weights)
            self.place.fabric.barrier()

    def load(self) -> None:
        """Go on from last.pt; UsageError names the field in which it is another run's."""
        path, place = self.place.out / "last.pt", self.place
        self.state = load_state(path, self._identity(), self.model, self.optimizer, place.fabric)
        if len(self.state.history) > self.recipe.epochs:
            raise UsageError(
                f"{path} already has {len(self.state.history)} epochs: raise --epochs."
            )
        if place.fabric.is_global_zero:
            self._write_tables(self.state)
        if self.state.history and not self.state.cursor.position:
            self._keep_best()  # a run may have been killed before it did

    def _identity(self) -> dict[str, Any]:
        """What must agree to resume; more epochs only go further."""
        facts = {"manifest": self.data.manifest.digest} | asdict(self.recipe)
        if self.recipe.arm != "pretrain":  # whose synthetic epochs are a share of all
            del facts["epochs"]
        return facts | {"order": self.state.cursor.order}

    def _header(self, epoch: int) -> WeightsHeader:
        manifest = self.data.manifest
        return WeightsHeader(
            pathologies=manifest.pathologies,
            image=manifest.image,
            manifest=manifest.digest,
            epoch=epoch,
        )

    def _write_tables(self, state: State) -> None:
        out = self.place.out
        write_history(out, state.history, self.data.manifest.pathologies)
        write_notes(out / "timing.csv", state.timings)
        write_notes(out / "receipts.csv", state.receipts)
        write_unread(out, state.unread, self.data.index)
