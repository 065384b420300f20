"""Does the classifier learn on the GPU as on the CPU, and go on after a SIGTERM?"""

import signal

import torch
from scene import Finding, holds, not_run, within

from builder.contract.precision import arithmetic
from builder.contract.weights import make_network, scale
from trainer.fit.score import masked_loss

OUTPUTS, STEPS, BATCH, RATE = 5, 20, 32, 1e-3


def losses(device, precision, side, *, batch=BATCH, rate=RATE, seed=0, reordered=False):
    """The loss of each step on the same noise, from the same weights."""
    torch.manual_seed(seed)
    network = make_network(OUTPUTS)
    images = torch.randint(0, 256, (batch, 1, side, side), dtype=torch.uint8)
    labels = torch.randint(0, 2, (batch, OUTPUTS)).float()
    if reordered:
        order = torch.randperm(batch, generator=torch.Generator().manual_seed(1))
        images, labels = images[order], labels[order]
    network = network.train().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    found = []
    with arithmetic(precision):
        for _ in range(STEPS):
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                logits = network(scale(images.to(device)))
            summed, known = masked_loss(logits.float(), labels.to(device))
            optimizer.zero_grad()
            (summed / known).backward()
            optimizer.step()
            found.append(float(summed.detach() / known))
    return found


def apart(found, exact):
    """How far the mean loss is from the exact one, relative to it."""
    return abs(sum(found) / sum(exact) - 1)


def alike(scene):
    """Twenty steps of DenseNet-121 on one batch of noise, beside float32 on the CPU.

    The first loss shows whether the arithmetic is right: nothing has been multiplied up yet. The
    mean of twenty losses shows whether gradients and updates are right, too, as far as rounding
    lets one see it: training multiplies each rounding up, so that even the images of the batch in
    another order give other losses. That spread and what learning itself changes stand beside it,
    without a verdict: the comparison says something where the one is far below the limit and the
    other far above. `python benchmarks/gpu/spread.py` shows for which batch and rate that is so.
    """
    side = 64 if scene.gpu else 32
    exact = losses("cpu", "fp32", side)
    other = losses("cpu", "fp32", side, reordered=True)
    yield Finding(line="mean loss: images in another order", found=f"{apart(other, exact):.2g}")
    learned = apart([exact[0]] * STEPS, exact)
    yield Finding(line="mean loss: a network that does not learn", found=f"{learned:.2g}")
    for precision, limit in (("fp32", 1e-4), ("tf32", 1e-2), ("bf16", 1e-2)):
        lines = (f"{precision}: first loss, relative", f"{precision}: mean loss of {STEPS} steps")
        if not scene.gpu and precision != "bf16":
            yield from map(not_run, lines)
            continue
        found = losses(scene.device, precision, side)
        yield within(lines[0], abs(found[0] / exact[0] - 1), limit)
        yield within(lines[1], apart(found, exact), 0.02)


def resumed(scene):
    """A run that gets a SIGTERM after its first epoch goes on where it was."""
    manifest = scene.demo(64 if scene.gpu else 32)
    words = ["fit", "--shards", manifest, "--epochs", 2, "--init", "random", "--arm", "none"]
    words += ["--batch", 32, "--device", scene.device, "--steps", "own"]
    out = scene.empty("stopped") / "run"
    code = scene.stopped(
        "xtrain", *words, "--out", out, number=signal.SIGTERM, at=lambda: (out / "last.pt").exists()
    )
    yield holds("SIGTERM: it saves and ends", code != 0, f"exit code {code}")
    scene.call("xtrain", *words, "--out", out, "--resume")
    yield holds("--resume ends the run", (out / "report.json").is_file())
