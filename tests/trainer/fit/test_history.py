import numpy as np
import pytest

from builder.contract import CheckError
from trainer.fit.history import Epoch, best_epoch, receipt
from trainer.stream.order import coverage


def row(epoch: int, loss: float, mean: float | None) -> Epoch:
    return Epoch(epoch=epoch, train_loss=1.0, val_loss=loss, val_auc_mean=mean, val_auc=())


def test_best_epoch_goes_by_auc_then_by_loss() -> None:
    assert best_epoch([row(1, 0.1, 0.6), row(2, 0.9, 0.8), row(3, 0.2, 0.7)]).epoch == 2
    assert best_epoch([row(1, 0.5, 0.8), row(2, 0.4, 0.8), row(3, 0.4, 0.8)]).epoch == 2
    assert best_epoch([row(1, 0.5, None), row(2, 0.3, None), row(3, 0.4, None)]).epoch == 2


def test_epochs_before_the_first_eligible_one_count_only_while_there_is_no_other() -> None:
    rows = [row(1, 0.1, 0.9), row(2, 0.9, 0.5), row(3, 0.2, 0.7)]
    assert best_epoch(rows, choose_from=2).epoch == 3
    assert best_epoch(rows[:1], choose_from=2).epoch == 1


def test_a_receipt_counts_images_and_rows() -> None:
    asked = np.array([3, 1, 1, 4])
    found = receipt(2, asked, coverage(asked, 6), unread=1)
    assert (found.epoch, found.images, found.rows, found.unread) == (2, 4, 3, 1)
    assert found.order != receipt(2, asked[::-1], coverage(asked, 6), unread=1).order


@pytest.mark.parametrize("seen", [[3, 1, 4], [3, 1, 1, 4, 4], [3, 1, 1, 5]])
def test_a_lost_or_repeated_or_foreign_row_has_no_receipt(seen: list[int]) -> None:
    with pytest.raises(CheckError, match="Epoch 2 did not show what it should"):
        receipt(2, np.array([3, 1, 1, 4]), coverage(seen, 6), unread=0)
