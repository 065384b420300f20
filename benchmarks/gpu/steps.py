"""Does the classifier learn on the GPU as on the CPU, and go on after a SIGTERM?"""

import signal

import torch
from scene import holds, not_run, within

from builder.contract.precision import arithmetic
from builder.contract.weights import make_network, scale
from trainer.fit.score import masked_loss

OUTPUTS, BATCH, STEPS = 5, 32, 20  # smaller batches make their own statistics too noisy


def losses(device, precision, side):
    """The loss of each step on the same noise, from the same weights."""
    torch.manual_seed(0)
    network = make_network(OUTPUTS)
    images = torch.randint(0, 256, (BATCH, 1, side, side), dtype=torch.uint8)
    labels = torch.randint(0, 2, (BATCH, OUTPUTS)).float()
    network = network.train().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
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


def alike(scene):
    """The first loss, and the mean over twenty steps, relative to float32 on the CPU."""
    side = 64 if scene.gpu else 32
    exact = losses("cpu", "fp32", side)
    for precision, limit in (("fp32", 1e-4), ("tf32", 1e-2), ("bf16", 1e-2)):
        lines = (f"{precision}: first loss against the CPU", f"{precision}: loss of {STEPS} steps")
        if not scene.gpu and precision != "bf16":
            yield from map(not_run, lines)
            continue
        found = losses(scene.device, precision, side)
        yield within(lines[0], abs(found[0] / exact[0] - 1), limit)
        yield within(lines[1], abs(sum(found) / sum(exact) - 1), 0.02)


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
