"""Batch normalisation over the images of all ranks, as if one process had them all.

Torch's own works on GPUs alone; this one is a few operations and an exchange of sums, so that
processes on a CPU can test it.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn


class SharedBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d whose statistics are those of all ranks together; its state is the same."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] normalised, in the type of `x`; B may differ from rank to rank."""
        if not self.training or not dist.is_initialized():
            normalised: torch.Tensor = super().forward(x)
            return normalised
        with torch.autocast(x.device.type, enabled=False):
            values = x.float()
            own = torch.cat([values.sum(dim=(0, 2, 3)), values.new_full((1,), x[:, 0].numel())])
            sums = _total(own)
            count = sums[-1].detach()
            mean = sums[:-1] / count
            centred = values - mean[:, None, None]
            variance = _total(centred.square().sum(dim=(0, 2, 3))) / count  # no cancellation
            self._note(mean.detach(), variance.detach(), count)
            factor = torch.rsqrt(variance + self.eps) * self.weight
            return (centred * factor[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _note(self, mean: torch.Tensor, variance: torch.Tensor, count: torch.Tensor) -> None:
        """Move the running statistics, the variance without bias, as nn.BatchNorm2d does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def with_shared_statistics(network: nn.Module) -> nn.Module:
    """The network itself, each nn.BatchNorm2d in it replaced by one with the same weights."""
    for name, child in network.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(network, name, _shared(child))
        else:
            with_shared_statistics(child)
    return network


def _shared(layer: nn.BatchNorm2d) -> SharedBatchNorm2d:
    shared = SharedBatchNorm2d(layer.num_features, eps=layer.eps, momentum=layer.momentum)
    shared.weight, shared.bias = layer.weight, layer.bias  # the optimizer has these already
    shared.running_mean, shared.running_var = layer.running_mean, layer.running_var
    shared.num_batches_tracked = layer.num_batches_tracked
    return shared.train(layer.training)


class _Total(torch.autograd.Function):
    """The sum over the ranks; each rank's loss depends on it, so gradients are summed, too."""

    @staticmethod
    def forward(_: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _total(values: torch.Tensor) -> torch.Tensor:
    function: Any = _Total.apply  # it has no types
    found: torch.Tensor = function(values)
    return found
