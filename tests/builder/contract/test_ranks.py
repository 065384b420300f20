"""The GPU of a rank, and what is said of a rank that was lost."""

import pytest
import torch

from builder.contract import CheckError, UsageError
from builder.contract.ranks import lost_ranks_in_one_sentence, own_gpu, ranks


def test_a_rank_has_the_gpu_of_its_number_or_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (ranks(), own_gpu(4), own_gpu(1)) == (1, 0, 0)
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert (ranks(), own_gpu(4), own_gpu(1)) == (8, 3, 0)
    with pytest.raises(UsageError, match=r"Rank 3 of this machine finds 2 GPUs: .*-node=2 does"):
        own_gpu(2)


def test_a_lost_rank_is_one_sentence() -> None:
    for error in (
        torch.distributed.DistBackendError("NCCL timed out\nstack"),
        RuntimeError("[.../gloo/transport/tcp/pair.cc:1] Connection closed by peer [1.1.1.1]:1"),
    ):
        with (
            pytest.raises(CheckError, match=r"Another process .* 30 minutes: .*resumes \(") as told,
            lost_ranks_in_one_sentence(),
        ):
            raise error
        assert "\n" not in str(told.value)
    with pytest.raises(RuntimeError, match="mine"), lost_ranks_in_one_sentence():
        raise RuntimeError("mine")
