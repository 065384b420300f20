"""Images on which a classifier does not see the pathology that they were made for."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from builder.checks import Context, Judge, fraction
from builder.contract import Bytes, CheckError, Sample, UsageError, sha256_file
from builder.labels import find_pathology

MIN_POSITIVES = 10  # held-out positives from which a sensitivity can be told
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Seen:
    """The check `judge:FILE` or `judge:SENSITIVITY:FILE`, FILE being xtrain's best.safetensors.

    Rejects an image whose probability for its target is below the one that SENSITIVITY (0.9) of
    the held-out real positives reach.
    """

    identity: str
    classifier: "_Classifier"
    sensitivity: float
    needs: tuple[str, ...] = ("val",)

    def prepared(self, context: Context, targets: Sequence[str]) -> Judge:
        """A judge with the least probability of each target; UsageError where it cannot be told."""
        members = (member for _, member in context.real("val"))
        scores, labels = [], []
        while block := list(islice(members, _BATCH)):
            scores.append(self.classifier(np.stack([context.pixels(m) for m in block])))
            labels.append(context.labels(block))
        probability, label = np.concatenate(scores), np.concatenate(labels)
        least = {}
        for target in targets:
            positive = label[:, context.pathologies.index(target)] == 1
            if positive.sum() < MIN_POSITIVES:
                raise UsageError(
                    f"The check judge cannot tell its sensitivity for {target}: {positive.sum()} "
                    f"held-out images have it, {MIN_POSITIVES} are needed; use a larger --holdout."
                )
            own = probability[positive, self.classifier.column(target)]
            least[target] = float(np.quantile(own, 1 - self.sensitivity))
        return _Judge(self.classifier, least)


def load(argument: str) -> Seen:
    """The check; UsageError or CheckError where FILE is no classifier of xtrain."""
    file, sensitivity = argument, ""
    if not Path(argument).is_file() and (found := re.fullmatch(r"([\d.]+):(.*)", argument)):
        sensitivity, file = found.groups()
    share = fraction("judge", sensitivity, "0.9")
    classifier = _Classifier(Path(file), _read(Path(file))[0])
    identity = f"judge:{share:g}:sha256:{sha256_file(Path(file))}"
    return Seen(identity=identity, classifier=classifier, sensitivity=share)


@dataclass(frozen=True, slots=True)
class _Judge:
    classifier: "_Classifier"
    least: dict[str, float]

    def __call__(self, images: Bytes, samples: Sequence[Sample]) -> list[str]:
        seen = self.classifier(images)
        return [
            f"the judge does not see {sample.target}"
            if row[self.classifier.column(sample.target)] < self.least[sample.target]
            else ""
            for row, sample in zip(seen, samples, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Classifier:
    """Probabilities float32 [N, L] of uint8 [N, H, W], by the DenseNet-121 in a file of xtrain."""

    file: Path
    pathologies: tuple[str, ...]

    def column(self, target: str) -> int:
        """The output for a target; UsageError without one."""
        name = find_pathology(target, self.pathologies)
        if name is None:
            raise UsageError(
                f"The judge does not know {target}: it tells {', '.join(self.pathologies)}."
            )
        return self.pathologies.index(name)

    def __call__(self, images: Bytes) -> npt.NDArray[np.float32]:
        """One by one on the CPU, in equal batches on a GPU: a score must not depend on others."""
        import torch

        model = _network(self.file)
        device = next(model.parameters()).device
        step = _BATCH if device.type == "cuda" else 1
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        parts = []
        with torch.inference_mode(), exact:
            for start in range(0, len(images), step):
                batch = torch.from_numpy(images[start : start + step, None])
                padded = torch.cat([batch, batch[-1:].expand(step - len(batch), -1, -1, -1)])
                x = padded.to(device).float().div_(255).mul_(2).sub_(1).mul_(1024)
                parts.append(torch.sigmoid(model(x))[: len(batch)].float().cpu().numpy())
        return np.concatenate(parts)


def _read(file: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    """(pathologies, tensors) of a file that xtrain saved."""
    from safetensors import SafetensorError, safe_open

    opener: Any = safe_open  # its stubs have no types
    try:
        with opener(file, framework="pt") as opened:
            facts = json.loads((opened.metadata() or {})["xtrain"])
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return tuple(facts["pathologies"]), state
    except OSError as error:
        raise UsageError(f"Cannot read the judge {file}: {error.strerror or error}.") from None
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise CheckError(f"The judge {file} is damaged or no classifier of xtrain.") from None


@lru_cache(maxsize=1)
def _network(file: Path) -> Any:
    """The network on its device, read once in a process."""
    import torch
    from torchxrayvision.models import DenseNet

    pathologies, state = _read(file)
    model = DenseNet(num_classes=len(pathologies), in_channels=1)
    try:
        model.load_state_dict(state)
    except RuntimeError:
        raise CheckError(f"The judge {file} holds the weights of another network.") from None
    cuda = torch.cuda.is_available()
    if not cuda:
        torch.set_num_threads(1)  # a score must not depend on how many cores there are
    return model.eval().to("cuda" if cuda else "cpu", memory_format=torch.channels_last)
