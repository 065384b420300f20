import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from builder.contract.weights import scale
from trainer.fit.control import Control, Place
from trainer.fit.devices import connect
from trainer.fit.score import Validation, auc, logits_of, masked_loss, outputs
from trainer.stream.batches import Dataset


def test_masked_loss_is_the_mean_over_known_labels() -> None:
    logits = torch.tensor([[0.3, -2.0], [1.0, 0.0]], requires_grad=True)
    labels = torch.tensor([[1.0, -1.0], [0.0, -1.0]])
    total, known = masked_loss(logits, labels)
    want = -math.log(1 / (1 + math.exp(-0.3))) - math.log(1 - 1 / (1 + math.exp(-1.0)))
    assert known == 2
    assert total.item() == pytest.approx(want, rel=1e-6)
    total.backward()
    assert logits.grad is not None
    assert (logits.grad[:, 1] == 0).all()


def test_a_positive_weight_multiplies_the_loss_of_positives_alone() -> None:
    logits = torch.tensor([[0.3, -2.0], [1.0, 0.5]])
    labels = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])
    parts = [masked_loss(logits[i : i + 1, j : j + 1], labels[i : i + 1, j : j + 1])[0]
             for i, j in ((0, 0), (0, 1), (1, 1))]  # fmt: skip
    weighted, known = masked_loss(logits, labels, torch.tensor([3.0, 5.0]))
    assert weighted.item() == pytest.approx(float(3 * parts[0] + parts[1] + 5 * parts[2]))
    assert known == 3


def test_a_batch_with_nothing_known_has_no_loss() -> None:
    total, known = masked_loss(torch.randn(4, 3), torch.full((4, 3), -1.0))
    assert (total / known.clamp(min=1)).item() == 0


def test_auc_is_sklearns_over_known_labels_and_none_without_both_classes() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(-1, 2, 200).astype(np.int8), rng.random(200).astype(np.float32)
    known = labels >= 0
    assert auc(labels, scores) == roc_auc_score(labels[known], scores[known])
    assert auc(np.array([1, 1, -1], np.int8), scores[:3]) is None
    assert auc(np.array([-1, -1, -1], np.int8), scores[:3]) is None


def test_the_mean_auc_is_over_the_pathologies_that_have_one() -> None:
    assert Validation(loss=1.0, aucs=(0.5, None, 0.75), unread={}).auc_mean == 0.625
    assert Validation(loss=1.0, aucs=(None,), unread={}).auc_mean is None


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(1, 8, 5), torch.nn.Flatten(), torch.nn.Linear(8 * 28 * 28, 3))
    return torch.nn.Sequential(*layers)


def test_scores_of_a_bf16_run_are_computed_in_float32(data: Dataset) -> None:
    found = {}
    for precision in ("fp32", "bf16"):
        with connect("cpu", precision) as fabric:  # type: ignore[arg-type]
            place = Place(out=Path(), fabric=fabric, control=Control(fabric, 3600), workers=2)
            found[precision] = outputs(data, network(), data.rows("val"), place, what="val").logits
    assert torch.equal(found["fp32"], found["bf16"])
    assert not torch.equal(found["fp32"], found["fp32"].bfloat16().float())


def test_an_image_scores_the_same_whatever_came_with_it() -> None:
    model, images = network(), torch.randint(256, (40, 1, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        plain = model(scale(images[:16]))
    assert torch.equal(logits_of(model, images[:16], size=16), plain)
    for count in (1, 2, 7, 15):
        assert torch.equal(logits_of(model, images[:count], size=16), plain[:count])
        own = logits_of(model, images[16 - count : 16], size=16)
        assert torch.equal(own, plain[16 - count :])


class ExactSums(torch.nn.Module):
    """Sums of whole numbers, which no kernel and no size of a batch rounds."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        greys = (images.flatten(1) * 255 / 2048 + 127.5).round()  # of [-1024, 1024]
        return torch.stack([greys.sum(dim=1), greys[:, ::7].sum(dim=1)], dim=1)


def test_what_does_not_fit_is_scored_in_parts() -> None:
    model, sizes = ExactSums(), list[int]()

    def small(_: object, inputs: tuple[torch.Tensor]) -> None:
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > limit:
            raise torch.OutOfMemoryError

    images, limit = torch.randint(256, (13, 1, 32, 32), dtype=torch.uint8), 20
    whole = logits_of(model, images, size=20)
    hook, limit = model.register_forward_pre_hook(small), 5
    parts = logits_of(model, images, size=20)
    assert torch.equal(parts, whole)
    assert sizes == [20, 10, 5, 5, 10, 5]
    limit = 0
    with pytest.raises(torch.OutOfMemoryError):
        logits_of(model, images, size=20)
    hook.remove()
