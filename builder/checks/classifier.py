"""Images on which a classifier does not see the pathology that they were made for."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from builder.checks.check import Context, Judge, fraction
from builder.contract import Bytes, Sample, Split, UsageError, sha256_file
from builder.contract.weights import load_network, read_header, scale
from builder.labels import find_pathology
from builder.plugin import is_out_of_memory
from builder.render import exact

if TYPE_CHECKING:
    from torch import nn

MIN_POSITIVES = 10  # held-out positives from which a sensitivity can be told
_BATCH = 64  # images that are scored together on a GPU: as many as are checked together


@dataclass(frozen=True, slots=True)
class Seen:
    """The check `classifier:FILE` or `classifier:SENSITIVITY:FILE`, FILE from `xtrain fit`.

    Rejects an image whose probability for its target is below the one that SENSITIVITY (0.9) of
    the held-out real positives reach.
    """

    identity: str
    classifier: "_Classifier"
    sensitivity: float
    needs: tuple[Split, ...] = ("val",)
    software: tuple[str, ...] = ("torchvision", "torchxrayvision")  # the networks are theirs

    def prepared(self, context: Context, targets: Sequence[str]) -> Judge:
        """A judge with the threshold of each target; UsageError where it cannot be told."""
        classifier = replace(self.classifier, device=context.device)
        members = (member for _, member in context.members("val"))
        scores, labels = [], []
        while block := list(islice(members, _BATCH)):
            scores.append(classifier(context.pixels(block)))
            labels.append(context.labels(block))
        probability, label = np.concatenate(scores), np.concatenate(labels)
        thresholds = {}
        for target in targets:
            positive = label[:, context.layout.pathologies.index(target)] == 1
            if positive.sum() < MIN_POSITIVES:
                raise UsageError(
                    f"The check classifier cannot tell its sensitivity for {target}: "
                    f"{positive.sum()} held-out images have it, {MIN_POSITIVES} are needed; use a "
                    "larger --holdout."
                )
            own = probability[positive, classifier.column(target)]
            thresholds[target] = float(np.quantile(own, 1 - self.sensitivity))
        return _Judge(classifier, thresholds)


def load(argument: str) -> Seen:
    """The check; UsageError or CheckError where FILE is no classifier of xtrain."""
    file, sensitivity = argument, ""
    if not Path(argument).is_file() and (found := re.fullmatch(r"([\d.]+):(.*)", argument)):
        sensitivity, file = found.groups()
    if not file:
        raise UsageError(
            "--check classifier needs a file: name the best.safetensors of a run of xtrain, as in "
            "classifier:FILE."
        )
    share = fraction("classifier", sensitivity, "0.9")
    classifier = _Classifier(Path(file), read_header(Path(file)).pathologies)
    identity = f"classifier:{share!r}:sha256:{sha256_file(Path(file))}"
    return Seen(identity=identity, classifier=classifier, sensitivity=share)


@dataclass(frozen=True, slots=True)
class _Judge:
    classifier: "_Classifier"
    thresholds: dict[str, float]

    def __call__(self, images: Bytes, samples: Sequence[Sample]) -> list[str]:
        seen = self.classifier(images)
        return [
            f"the classifier does not see {sample.target}"
            if row[self.classifier.column(sample.target)] < self.thresholds[sample.target]
            else ""
            for row, sample in zip(seen, samples, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Classifier:
    """Probabilities float32 [N, L] of uint8 [N, H, W], by the network in a file of xtrain."""

    file: Path
    pathologies: tuple[str, ...]
    device: str = "cpu"  # where the generator renders, which the recipe notes

    def column(self, target: str) -> int:
        """The output for a target; UsageError without one."""
        name = find_pathology(target, self.pathologies)
        if name is None:
            raise UsageError(
                f"The classifier does not know {target}: it knows {', '.join(self.pathologies)}."
            )
        return self.pathologies.index(name)

    def __call__(self, images: Bytes) -> npt.NDArray[np.float32]:
        """One by one on the CPU, in equal batches on a GPU: a score must not depend on others.

        UsageError where the device, which the generator shares, does not have the memory.
        """
        try:
            return self._scores(images)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise UsageError(
                "The device does not have the memory for the check classifier and the generator:"
                " use a smaller --batch."
            ) from None

    def _scores(self, images: Bytes) -> npt.NDArray[np.float32]:
        import torch

        network = _network(self.file, self.device)
        step = _BATCH if self.device == "cuda" else 1
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), step):
                batch = torch.from_numpy(images[start : start + step, None])
                padded = torch.cat([batch, batch[-1:].expand(step - len(batch), -1, -1, -1)])
                with exact() if step > 1 else nullcontext():
                    logits = network(scale(padded.to(self.device)))
                parts.append(torch.sigmoid(logits)[: len(batch)].float().cpu().numpy())
        return np.concatenate(parts)


@lru_cache(maxsize=1)
def _network(file: Path, device: str) -> "nn.Module":
    """The network on its device, read once in a process."""
    import torch

    network, _ = load_network(file)
    if device == "cpu":
        torch.set_num_threads(1)  # a score must not depend on how many cores there are
    return network.to(device).to(memory_format=torch.channels_last)
