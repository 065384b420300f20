"""The rows of history.csv from the iterations between two snapshots."""

from builder.fitgan.history import Iteration, Losses, history_csv, history_row


def iteration(kimg: float, value: float, penalty: float) -> Iteration:
    losses = Losses(d_loss=value, penalty=penalty, g_loss=2 * value, real=3 * value, fake=-value)
    return Iteration(kimg=kimg, lod=0.5, losses=losses)


def test_a_row_holds_the_means_and_the_penalty_where_it_was_due() -> None:
    iterations = [iteration(1, 1.0, 0.0), iteration(2, 2.0, 8.0), iteration(3, 6.0, 0.0)]
    row = history_row(iterations, spread=0.25, label_effect=1 / 3)
    assert (row.kimg, row.lod, row.d_loss, row.g_loss) == (3, 0.5, 3.0, 6.0)
    assert (row.real, row.fake, row.penalty) == (9.0, -3.0, 8.0)
    never = history_row(iterations[:1], spread=0.25, label_effect=1 / 3)
    assert never.penalty == 0
    assert history_csv([row, never]).decode().splitlines() == [
        "kimg,lod,d_loss,g_loss,real,fake,penalty,spread,label_effect",
        "3,0.5,3,6,9,-3,8,0.25,0.333333",
        "1,0.5,1,2,3,-1,0,0.25,0.333333",
    ]
