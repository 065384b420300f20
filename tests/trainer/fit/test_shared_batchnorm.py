"""Two processes with shared statistics compute what one process computes of all images."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from trainer.fit.shared_batchnorm import SharedBatchNorm2d, with_shared_statistics

RANK = """
import sys, torch, torch.distributed as dist
from torch import nn
from builder.contract import CheckError
from builder.contract.ranks import lost_ranks_in_one_sentence
from trainer.fit.shared_batchnorm import with_shared_statistics

torch.set_num_threads(1)
rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
torch.manual_seed(0)
whole = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3))
own = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3))
with_shared_statistics(own)
own.load_state_dict(whole.state_dict())
images = torch.randn(8, 1, 9, 9) * 50 + 300
part = images[:5] if rank == 0 else images[5:]
whole(images).square().sum().backward()
own(part).square().sum().backward()
for one, other in zip(whole.parameters(), own.parameters()):
    dist.all_reduce(other.grad)
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-2)
for one, other in zip(whole.buffers(), own.buffers()):
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)
dist.barrier()
if rank == 0:  # the other one is gone
    try:
        with lost_ranks_in_one_sentence():
            dist.all_reduce(torch.ones(1))
            dist.all_reduce(torch.ones(1))
    except CheckError as error:
        print(error)
dist.destroy_process_group()  # as both trainers do: a thread of gloo at exit aborts the process
"""


@pytest.fixture
def _one_rank(tmp_path: Path) -> Iterator[None]:
    url = f"file://{tmp_path / 'store'}"
    dist.init_process_group("gloo", init_method=url, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_two_ranks_are_one_and_a_lost_one_is_one_sentence(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    words = [sys.executable, "-W", "ignore", "-c", RANK]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    ranks = [subprocess.Popen([*words, str(rank), store], **pipes) for rank in range(2)]  # type: ignore[call-overload]
    told = [rank.communicate(timeout=120) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], told
    assert told[0][0].startswith("Another process of this run ended or did not answer")
    assert told[0][0].count("\n") == 1


@pytest.mark.usefixtures("_one_rank")
def test_one_rank_is_torchs_own() -> None:
    torch.manual_seed(1)
    plain = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.Sequential(nn.BatchNorm2d(3)))
    shared = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.Sequential(nn.BatchNorm2d(3)))
    weights = [*shared.parameters()]
    assert with_shared_statistics(shared) is shared
    assert [*shared.parameters()] == weights  # those that the optimizer has
    assert [type(layer) for layer in shared.modules()].count(SharedBatchNorm2d) == 2
    assert shared.state_dict().keys() == plain.state_dict().keys()
    for _ in range(2):
        x = torch.randn(6, 3, 5, 5) * 3 + 100
        torch.testing.assert_close(shared(x), plain(x), rtol=1e-4, atol=1e-4)
    for one, other in zip(plain.buffers(), shared.buffers(), strict=True):
        torch.testing.assert_close(one, other)
    x = torch.randn(1, 3, 1, 1)
    plain.load_state_dict(shared.state_dict())
    assert torch.equal(shared.eval()(x), plain.eval()(x))
