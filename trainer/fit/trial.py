"""A few steps of training in either precision: which one a run on this device should take."""

import time

import torch

from builder.contract.networks import DENSENET
from builder.contract.precision import Precision, choose_precision
from builder.contract.ranks import ranks
from builder.contract.weights import make_network, scale
from trainer.fit.devices import pick_device

_PIXELS = 16 * 64 * 64  # of a step's images together: about a second, also at 224 pixels
_MIN_IMAGES = 4


def fastest(
    name: str, network: str = DENSENET, *, height: int, width: int, outputs: int, batch: int
) -> Precision:
    """The precision in which such a run of the network is fastest on the device called `name`.

    The trial takes seconds. Several processes on CPUs take fp32: each of them would try for itself,
    while the others disturb it. UsageError where the device is not available.
    """
    device = pick_device(name)
    if ranks() > 1 and device.type == "cpu":
        return "fp32"
    count = max(_MIN_IMAGES, min(batch, _PIXELS // (height * width)))
    images = torch.randint(256, (count, 1, height, width), dtype=torch.uint8, device=device)
    made = make_network(outputs, network, (height, width))
    model = made.to(memory_format=torch.channels_last).to(device)
    optimizer = torch.optim.Adam(model.parameters())

    def seconds(precision: Precision) -> float:
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = model(scale(images)).float().square().mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        return time.perf_counter() - began

    return choose_precision(device, seconds)
