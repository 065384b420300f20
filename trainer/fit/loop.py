"""Steps of training: weights of the best epoch, a history, and a checkpoint to resume from.

A run is a pure function of (dataset, recipe) on one machine's CPU: stopped anywhere and resumed,
it ends with the weights and the history of the unbroken run.
"""

import math
import time
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from builder.contract import Stopped, UsageError, write_last
from builder.contract.networks import DENSENET
from builder.contract.record import to_json
from builder.contract.weights import WeightsHeader, weights_bytes
from trainer.arms import Arm
from trainer.arms.flip import augmentation
from trainer.fit.checkpoint import (
    Identity,
    Partial,
    RunState,
    check_state,
    checkpoint_bytes,
    restore,
)
from trainer.fit.control import Place, Wish, stopped
from trainer.fit.history import Epoch, Timing, best_epoch, receipt
from trainer.fit.run_folder import RunFolder
from trainer.fit.schedule import learning_rate
from trainer.fit.score import Validation, validate
from trainer.fit.step import ImageWeights, Stepper, check_pieces
from trainer.recipe import Recipe, RunConfig
from trainer.stream.batches import Batch, Dataset, batches
from trainer.stream.order import Cursor, Rows, random_words

STEPS_PER_CHECK = 50  # of the loss; each check waits for the GPU


def fit(
    data: Dataset, arm: Arm, model: nn.Module, config: RunConfig, place: Place, *, resume: bool
) -> RunState:
    """The state after the last epoch; the run's files lie in `place.out` after each save.

    Saves when `place.control` wishes it and after each epoch; Stopped after a signal. UsageError
    when the loss diverges or the checkpoint in `place.out` is another run's.
    """
    run = TrainingRun.begin(data, arm, model, config, place)
    if resume and place.fabric.broadcast(run.folder.is_begun()):
        run.load()
    while (epoch := run.state.cursor.epoch) <= run.recipe.epochs:
        rows = arm.order.epoch(epoch)
        run.train(rows)
        run.finish(rows)
    return run.state


@dataclass(slots=True, kw_only=True)
class TrainingRun:
    """Weights, optimizer and state on their way from step to step."""

    data: Dataset
    arm: Arm
    stepper: Stepper
    config: RunConfig
    place: Place
    state: RunState

    @classmethod
    def begin(
        cls, data: Dataset, arm: Arm, model: nn.Module, config: RunConfig, place: Place
    ) -> "TrainingRun":
        """A run before its first step; UsageError where a batch has too few images to be cut."""
        recipe, fabric = config.recipe, place.fabric
        for count in sorted({arm.order.count(epoch) for epoch in range(1, recipe.epochs + 1)}):
            check_pieces(count, recipe.batch, fabric.world_size * recipe.accumulate)
        return cls(
            data=data,
            arm=arm,
            stepper=Stepper.make(model, recipe, fabric, arm.positive_weight),
            config=config,
            place=place,
            state=RunState(
                cursor=Cursor(order=arm.order.digest, epoch=1, position=0),
                partial=Partial.nothing(len(data.index), fabric.device),
            ),
        )

    @property
    def recipe(self) -> Recipe:
        """What decides the weights, apart from the dataset."""
        return self.config.recipe

    @property
    def folder(self) -> RunFolder:
        """Where the run's files lie."""
        return RunFolder(self.place.out)

    def train(self, rows: Rows) -> None:
        """Take the steps of the epoch that are left."""
        cursor, recipe, fabric = self.state.cursor, self.recipe, self.place.fabric
        if cursor.epoch == self.arm.choose_from and not cursor.position:
            self.stepper.optimizer.state.clear()  # after synthetic images: a training of its own
        augment = augmentation(
            self.arm.augment, count=len(rows), seed=recipe.seed, epoch=cursor.epoch
        )
        weights = self.arm.weights(cursor.epoch)
        labels = None if weights is None else self.data.index.labels[rows]
        what = f"epoch {cursor.epoch}/{recipe.epochs}"
        self.stepper.network.train()
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
                self._seed(batch)
                shown = self.state.cursor.position / len(rows)
                self.stepper.use_rate(
                    learning_rate(recipe, self.arm, epoch=cursor.epoch, shown=shown)
                )
                own = None
                if weights is not None and labels is not None:
                    own = ImageWeights.of(weights, labels, batch, self.state.cursor.position)
                self.stepper.step(batch, augment, self.state.partial.sums, own)
                self._note(batch, time.perf_counter() - began)
                began = time.perf_counter()
                if number % STEPS_PER_CHECK == 0:
                    self._check_progress()
                self._save_or_stop(f"after {batch.position:,} of {len(rows):,} images of {what}")

    def _seed(self, batch: Batch) -> None:
        """Before each step, so that a resumed run draws the same; DenseNet-121 draws nothing."""
        recipe = self.recipe
        if recipe.network != DENSENET:
            where = (self.state.cursor.epoch, batch.position, self.place.fabric.global_rank)
            word = random_words(1, "step", recipe.seed, *where)[0]
            torch.manual_seed(int(word >> np.uint64(1)))

    def _note(self, batch: Batch, seconds: float) -> None:
        state, partial = self.state, self.state.partial
        partial.seen.index_add_(0, batch.rows, torch.ones(len(batch.rows), dtype=torch.int32))
        partial.seen[-1] += len(batch.bad)
        partial.seconds += seconds
        partial.waited += batch.waited
        state.unread |= batch.bad
        state.cursor = replace(state.cursor, position=batch.position)

    def _check_progress(self) -> None:
        partial = self.state.partial
        loss = partial.loss
        self._check_finite(loss)
        self._track({"train_loss": loss, "data_wait": partial.waited / partial.seconds})

    def _track(self, values: dict[str, float]) -> None:
        state = self.state
        images = sum(row.images for row in state.receipts) + state.cursor.position
        for tracker in self.place.trackers:
            tracker.log(images, values)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UsageError(
                f"The loss is not finite in epoch {self.state.cursor.epoch} at"
                f" --lr {self.recipe.lr:g}: try a smaller one, with another --out."
            )

    def _save_or_stop(self, where: str) -> None:
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
        self._check_finite(partial.loss)
        found = self._validate()
        mean = {} if found.auc_mean is None else {"val_auc": found.auc_mean}
        state.history.append(
            Epoch(
                epoch=epoch,
                train_loss=partial.loss,
                val_loss=found.loss,
                val_auc_mean=found.auc_mean,
                val_auc=found.aucs,
            )
        )
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
        self._track({"train_loss": partial.loss, "val_loss": found.loss} | mean)

    def _validate(self) -> Validation:
        self.stepper.share_buffers()
        try:
            found = validate(self.data, self.stepper.model, self.place)
        except Stopped:
            self.save()
            raise
        self.state.unread |= found.unread
        self._check_finite(found.loss)
        return found

    def save(self) -> None:
        """Write config.json, last.pt and the tables; all ranks must call it, the first writes."""
        place, folder, stepper = self.place, self.folder, self.stepper
        state = self.state.gathered(place.fabric)
        self._check_finite(state.partial.loss)
        if place.fabric.is_global_zero:
            write_last(folder.config, to_json(self.config).encode())
            data = checkpoint_bytes(state, self._identity(), stepper.model, stepper.optimizer)
            write_last(folder.last, data)
            self._save_tables(state)
        place.fabric.barrier()  # nobody reads what is not there yet
        place.control.saved()

    def _save_tables(self, state: RunState) -> None:
        self.folder.save_tables(state, self.data.manifest.pathologies, self.data.index)

    def _keep_best(self) -> None:
        """Write the weights after the last epoch if it is the best; after last.pt that says so."""
        history, fabric = self.state.history, self.place.fabric
        if best_epoch(history, self.arm.choose_from) is history[-1]:
            if fabric.is_global_zero:
                self.save_weights(history[-1].epoch)
            fabric.barrier()

    def save_weights(self, epoch: int) -> None:
        """Write the weights as they are now, those after `epoch`, to best.safetensors."""
        manifest = self.data.manifest
        header = WeightsHeader(
            pathologies=manifest.pathologies,
            image=manifest.image,
            manifest=manifest.digest,
            epoch=epoch,
            network=self.recipe.network,
        )
        data = weights_bytes(self.stepper.model, header, self._identity().to_json())
        write_last(self.folder.weights, data)

    def load(self) -> None:
        """Continue from last.pt; UsageError names the field in which it is another run's."""
        folder, fabric, stepper = self.folder, self.place.fabric, self.stepper
        identity = self._identity()
        self.state = restore(folder.last, identity, stepper.model, stepper.optimizer, fabric)
        rows, pathologies = len(self.data.index), len(self.data.manifest.pathologies)
        check_state(self.state, rows, pathologies, folder.last)
        if len(self.state.history) > self.recipe.epochs:
            raise UsageError(
                f"{folder.last} already has {len(self.state.history)} epochs: raise --epochs."
            )
        if fabric.is_global_zero:
            self._save_tables(self.state)
        if self.state.history and not self.state.cursor.position:
            self._keep_best()  # a run may have been killed before it did

    def _identity(self) -> Identity:
        digest, order = self.data.manifest.digest, self.state.cursor.order
        return Identity(manifest=digest, recipe=self.recipe, order=order)
