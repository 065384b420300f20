import pytest
import torch
from torch import nn

from builder.contract import UsageError
from trainer.fit.devices import connect, pick_device, total
from trainer.recipe import Precision


def test_a_device_that_is_not_here_is_refused() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    for name in ("warp", "cuda:77"):
        with pytest.raises(UsageError, match=f"--device {name} is not available"):
            pick_device(name)


def test_one_process_is_one_rank_even_inside_a_slurm_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SLURM_NTASKS", "8"), ("SLURM_PROCID", "3"), ("SLURM_JOB_NAME", "night")):
        monkeypatch.setenv(name, value)
    with connect("cpu", "fp32") as fabric:
        assert (fabric.world_size, fabric.global_rank, fabric.device.type) == (1, 0, "cpu")
        values = torch.tensor([1.0, 2.0])
        summed = total(fabric, values)
        assert torch.equal(summed, values)
        assert summed.data_ptr() != values.data_ptr()


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_is_that_of_the_products(precision: Precision, kind: torch.dtype) -> None:
    layer = nn.Linear(3, 2)
    with connect("cpu", precision) as fabric, fabric.autocast():
        assert layer(torch.ones(1, 3)).dtype == kind
    assert layer.weight.dtype == torch.float32
