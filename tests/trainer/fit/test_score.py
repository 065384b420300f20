import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from trainer.fit.score import Validation, auc, masked_loss


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
