"""The loop: reals → two networks against each other → the moving average of the generator.

Everything random is a pure function of (seed, iteration, purpose), so a run that is killed and
continued ends with the same weights as an unbroken one on the same CPU.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from builder.contract import CheckError
from builder.fitgan.data import Reals
from builder.fitgan.diffaug import augment, changes
from builder.fitgan.distributed import Team
from builder.fitgan.losses import (
    R1_EVERY,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)
from builder.fitgan.networks import Discriminator, Generator
from builder.fitgan.settings import Settings

EMA_KIMG = 10.0  # half-life of the moving average, once warmed up
_WARM_UP = 0.05  # the half-life is at most this share of the images seen


@dataclass(slots=True)
class Networks:
    """Both networks, the moving average, the optimisers, and how far they are."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    g_optimizer: torch.optim.Optimizer
    d_optimizer: torch.optim.Optimizer
    iteration: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Tensors and plain types from which `restore` goes on exactly."""
        return {
            "iteration": self.iteration,
            "history": self.history,
            **{name: getattr(self, name).state_dict() for name in _STATEFUL},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.iteration, self.history = state["iteration"], state["history"]


_STATEFUL = ("generator", "discriminator", "average", "g_optimizer", "d_optimizer")


def make_networks(settings: Settings, labels: tuple[str, ...], device: torch.device) -> Networks:
    """Fresh networks on the device, weights from the seed."""
    design = settings.design(labels)
    start = stream(settings.seed, 0, "weights")
    generator = Generator(design, start)
    discriminator = Discriminator(design, settings.conditioning, start)
    average = Generator(design, start)
    average.load_state_dict(generator.state_dict())
    for network in (generator, discriminator, average):
        network.to(device)
    adam = partial(torch.optim.Adam, lr=settings.lr, betas=(0.0, 0.99), eps=1e-8)
    return Networks(
        generator=generator,
        discriminator=discriminator,
        average=average.requires_grad_(False),
        g_optimizer=adam(generator.parameters()),
        d_optimizer=adam(discriminator.parameters()),
    )


def stream(seed: int, iteration: int, what: str) -> torch.Generator:
    """The random numbers of one purpose in one iteration."""
    digest = hashlib.sha256(f"{seed} {iteration} {what}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def iterate(
    networks: Networks, reals: Reals, settings: Settings, team: Team
) -> Iterator[dict[str, float]]:
    """One record per iteration from where the networks are to the end of the run.

    A record holds `iteration`, `kimg`, `lod`, the losses, the mean realness of reals and fakes.
    CheckError when a loss is not finite; the networks are then of no use.
    """
    device = next(networks.generator.parameters()).device
    while networks.iteration < settings.iterations:
        record = _iterate_once(networks, reals, settings, team, device)
        if not all(math.isfinite(value) for value in record.values()):
            kimg = networks.iteration * settings.batch / 1000
            raise CheckError(
                f"The losses are not finite at {kimg:.1f} kimg: the last good snapshot is kept; "
                "begin anew with a lower --lr or another --seed."
            )
        networks.iteration += 1
        yield {
            "iteration": networks.iteration,
            "kimg": networks.iteration * settings.batch / 1000,
            "lod": settings.lod_at(networks.iteration - 1),
            **record,
        }


def _iterate_once(
    networks: Networks, reals: Reals, settings: Settings, team: Team, device: torch.device
) -> dict[str, float]:
    now, batch = networks.iteration, settings.batch
    random = partial(stream, settings.seed, now)
    lod = settings.lod_at(now)
    chosen = team.part(reals.sample(batch, random("reals")))
    real = to_float(_moved(reals.images[chosen], device))
    real_labels = _moved(reals.labels[chosen], device)
    labels = _moved(reals.labels[team.part(reals.sample(batch, random("labels")))], device)
    latents = torch.randn(batch, settings.latent_size, generator=random("latents"))
    # On a CPU bfloat16 was slower than float32 (71 against 98 images/s), so only a GPU uses it.
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=device.type == "cuda")

    with autocast():
        fake = networks.generator(_moved(team.part(latents), device), labels, lod).float()

    def seen(images: Tensor, what: str) -> Tensor:
        if not settings.diffaug:
            return images
        strengths, shifts = changes(batch, settings.resolution, random(what))
        return augment(images, team.part(strengths), team.part(shifts))

    critic = partial(networks.discriminator, lod=lod)
    real, shown = seen(real, "augment reals"), seen(fake, "augment fakes")
    with autocast():  # together: minibatch statistics are taken within groups of four
        judged_real = critic(real, real_labels)
        judged_fake = critic(shown.detach(), labels)
    loss = discriminator_loss(settings.loss, judged_real, judged_fake, real_labels)
    mix = team.part(torch.rand(batch, 1, 1, 1, generator=random("mix")))
    total = loss + _penalty(critic, settings, now, real, shown, real_labels, mix)
    networks.d_optimizer.zero_grad()
    torch.autograd.backward(total)
    team.average_gradients(networks.discriminator.parameters())
    networks.d_optimizer.step()

    networks.discriminator.requires_grad_(False)
    with autocast():
        judged = critic(shown, labels)
    g_loss = generator_loss(settings.loss, judged, labels)
    networks.g_optimizer.zero_grad()
    torch.autograd.backward(g_loss)
    team.average_gradients(networks.generator.parameters())
    networks.g_optimizer.step()
    networks.discriminator.requires_grad_(True)
    _move_average(networks, settings)
    scores = (loss, total - loss, g_loss, judged_real[0].mean(), judged_fake[0].mean())
    values = team.mean(torch.stack([score.detach().float() for score in scores]))
    return dict(zip(("d_loss", "penalty", "g_loss", "real", "fake"), values, strict=True))


def _penalty(
    critic: Any,
    settings: Settings,
    iteration: int,
    real: Tensor,
    fake: Tensor,
    labels: Tensor,
    mix: Tensor,
) -> Tensor:
    if settings.loss == "wgan-gp":
        return gradient_penalty(critic, real, fake.detach(), labels, mix)
    if iteration % R1_EVERY:
        return torch.zeros((), device=real.device)
    return R1_EVERY * r1_penalty(critic, real, labels, settings.gamma)


@torch.no_grad()
def _move_average(networks: Networks, settings: Settings) -> None:
    seen = (networks.iteration + 1) * settings.batch
    half_life = min(EMA_KIMG * 1000, _WARM_UP * seen)
    keep = 0.5 ** (settings.batch / half_life)
    for mean, new in zip(
        networks.average.parameters(), networks.generator.parameters(), strict=True
    ):
        mean.lerp_(new, 1 - keep)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device; to a GPU from pinned memory, so that the copy need not be waited for."""
    pinned = tensor.pin_memory() if device.type == "cuda" else tensor
    return pinned.to(device, non_blocking=True)


def to_float(images: Tensor) -> Tensor:
    """float32 [B, 1, R, R] in [-1, 1] from uint8 [B, R, R]."""
    return images[:, None].float() / 127.5 - 1
