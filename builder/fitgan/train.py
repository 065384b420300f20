"""The loop: real images → two networks against each other → the generator's moving average.

Everything random is a pure function of (seed, iteration, purpose), so a run that is killed and
resumed ends with the same weights as an unbroken one on the same CPU.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from builder.contract import CheckError
from builder.contract.precision import Precision, arithmetic
from builder.fitgan.data import Reals
from builder.fitgan.diffaug import augment, changes
from builder.fitgan.distributed import Ranks
from builder.fitgan.history import HistoryRow, Iteration, Losses
from builder.fitgan.losses import (
    R1_EVERY,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)
from builder.fitgan.networks import Discriminator, GeneratorNetwork
from builder.fitgan.settings import Settings

EMA_KIMG = 10.0  # half-life of the moving average, after the warm-up
_WARM_UP = 0.05  # the half-life is at most this share of the images seen


class NotFiniteError(CheckError):
    """A loss is not finite, and the networks are of no use."""


@dataclass(slots=True)
class Networks:
    """Both networks, the moving average, the optimisers, and how far they have come."""

    generator: GeneratorNetwork
    discriminator: Discriminator
    average: GeneratorNetwork
    g_optimizer: torch.optim.Optimizer
    d_optimizer: torch.optim.Optimizer
    generate: Callable[..., Tensor]  # the generator, compiled where that is asked for
    discriminate: Callable[..., tuple[Tensor, Tensor]]  # the same of the discriminator
    iteration: int = 0  # iterations done
    history: list[HistoryRow] = field(default_factory=list)  # one per snapshot


def make_networks(settings: Settings, labels: tuple[str, ...], device: torch.device) -> Networks:
    """New networks on the device, their weights drawn from the seed."""
    design = settings.design(labels)
    start = stream(settings.seed, 0, "weights")
    generator = GeneratorNetwork(design, start)
    discriminator = Discriminator(design, settings.conditioning, start)
    average = GeneratorNetwork(design, start)
    average.load_state_dict(generator.state_dict())
    for network in (generator, discriminator, average):
        network.to(device)
    # One kernel for all weights on a GPU; on a CPU it is no faster, and rounds in another way.
    fused = True if device.type == "cuda" else None
    adam = partial(torch.optim.Adam, lr=settings.lr, betas=(0.0, 0.99), eps=1e-8, fused=fused)
    return Networks(
        generator=generator,
        discriminator=discriminator,
        average=average.requires_grad_(False),
        g_optimizer=adam(generator.parameters()),
        d_optimizer=adam(discriminator.parameters()),
        generate=torch.compile(generator) if settings.compile else generator,
        discriminate=torch.compile(discriminator) if settings.compile else discriminator,
    )


def stream(seed: int, iteration: int, purpose: str) -> torch.Generator:
    """The random numbers of one purpose in one iteration."""
    digest = hashlib.sha256(f"{seed} {iteration} {purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def iterate(
    networks: Networks, reals: Reals, settings: Settings, ranks: Ranks, *, end: int | None = None
) -> Iterator[Iteration]:
    """One record per iteration, from where the networks are to iteration `end`, or the run's end.

    Losses are read when the next iteration is on its way, so that a GPU is never without work: a
    record comes one iteration late, and the last two together. The settings' precision is not
    `auto`. NotFiniteError when a loss is not finite; the networks are then of no use.
    """
    device = next(networks.generator.parameters()).device
    step = _Step(networks=networks, settings=settings, ranks=ranks, device=device)
    waiting: _Unread | None = None
    optimizers = (networks.g_optimizer, networks.d_optimizer)
    with arithmetic(step.precision):
        while networks.iteration < (settings.iterations if end is None else end):
            for group in (group for each in optimizers for group in each.param_groups):
                group["lr"] = settings.lr_at(networks.iteration)
            lod, figures = step.lod, _iterate_once(step, reals)
            networks.iteration += 1
            before, waiting = waiting, _Unread(settings.kimg_at(networks.iteration), lod, figures)
            if before is not None:
                yield before.read()
    if waiting is not None:
        yield waiting.read()


def to_float(images: Tensor) -> Tensor:
    """float32 [B, 1, R, R] in [-1, 1] from uint8 [B, R, R]."""
    return images[:, None].float() / 127.5 - 1


@dataclass(frozen=True, slots=True)
class _Unread:
    """An iteration whose losses may still be on their way."""

    kimg: float
    lod: float
    figures: Tensor  # float32 [5], of Losses

    def read(self) -> Iteration:
        """The record; this waits for the device. NotFiniteError when a loss is not finite."""
        d_loss, penalty, real, fake, g_loss = values = self.figures.tolist()
        if not all(map(math.isfinite, values)):
            raise NotFiniteError(
                f"The losses are not finite at {self.kimg:.1f} kimg: start over with a lower --lr "
                "or another --seed."
            )
        losses = Losses(d_loss=d_loss, penalty=penalty, g_loss=g_loss, real=real, fake=fake)
        return Iteration(kimg=self.kimg, lod=self.lod, losses=losses)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """The iteration that comes next, on this rank: its random numbers, its part, its device."""

    networks: Networks
    settings: Settings
    ranks: Ranks
    device: torch.device

    @property
    def lod(self) -> float:
        return self.settings.lod_at(self.networks.iteration)

    def random(self, purpose: str) -> torch.Generator:
        return stream(self.settings.seed, self.networks.iteration, purpose)

    def rows(self, reals: Reals, purpose: str) -> Tensor:
        """This rank's rows of the batch that is drawn for the purpose."""
        return self.ranks.part(reals.sample(self.settings.batch, self.random(purpose)))

    def moved(self, tensor: Tensor) -> Tensor:
        """On the device; to a GPU from pinned memory, so that nothing waits for the copy."""
        pinned = tensor.pin_memory() if self.device.type == "cuda" else tensor
        return pinned.to(self.device, non_blocking=True)

    @property
    def precision(self) -> Precision:
        assert self.settings.precision != "auto"
        return self.settings.precision

    def autocast(self) -> torch.autocast:
        half = self.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

    def augmented(self, images: Tensor, purpose: str) -> Tensor:
        if not self.settings.diffaug:
            return images
        count, side = self.settings.batch, self.settings.resolution
        drawn = changes(count, side, self.random(purpose))
        strengths, shifts = (self.moved(self.ranks.part(each)) for each in drawn)
        return augment(images, strengths, shifts)

    def scores(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return self.networks.discriminate(images, labels, lod=self.lod)

    def critic(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The same, never compiled: torch cannot compile what is differentiated twice."""
        scores: tuple[Tensor, Tensor] = self.networks.discriminator(images, labels, lod=self.lod)
        return scores


def _iterate_once(step: _Step, reals: Reals) -> Tensor:
    """Update both networks and the moving average; float32 [5], means over the ranks.

    They are the discriminator's loss and penalty, the realness of real and generated images, and
    the generator's loss.
    """
    settings, networks, ranks = step.settings, step.networks, step.ranks
    rows = step.rows(reals, "reals")
    real, real_labels = to_float(step.moved(reals.images[rows])), step.moved(reals.labels[rows])
    labels = step.moved(reals.labels[step.rows(reals, "labels")])
    latents = torch.randn(settings.batch, settings.latent_size, generator=step.random("latents"))
    with step.autocast():
        fake = networks.generate(step.moved(ranks.part(latents)), labels, step.lod).float()
    real, fake = step.augmented(real, "augment reals"), step.augmented(fake, "augment fakes")
    d_figures = _update_discriminator(step, real, real_labels, fake.detach(), labels)
    figures = (*d_figures, _update_generator(step, fake, labels))
    _move_average(networks, settings)
    return ranks.mean(torch.stack([figure.detach().float() for figure in figures]))


def _update_discriminator(
    step: _Step, real: Tensor, real_labels: Tensor, fake: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One step of the discriminator: its loss, its penalty, mean realness of real and fake."""
    networks, settings = step.networks, step.settings
    with step.autocast():  # real and fake apart: minibatch statistics are taken within a batch
        real_scores = step.scores(real, real_labels)
        fake_scores = step.scores(fake, labels)
    loss = discriminator_loss(settings.loss, real_scores, fake_scores, real_labels)
    total = loss + _penalty(step, real, fake, real_labels)
    networks.d_optimizer.zero_grad()
    torch.autograd.backward(total)
    step.ranks.average_gradients(networks.discriminator.parameters())
    networks.d_optimizer.step()
    return loss, total - loss, real_scores[0].mean(), fake_scores[0].mean()


def _update_generator(step: _Step, fake: Tensor, labels: Tensor) -> Tensor:
    """One step of the generator against the updated discriminator: its loss."""
    networks = step.networks
    networks.discriminator.requires_grad_(False)
    with step.autocast():
        scores = step.scores(fake, labels)
    loss = generator_loss(step.settings.loss, scores, labels)
    networks.g_optimizer.zero_grad()
    torch.autograd.backward(loss)
    step.ranks.average_gradients(networks.generator.parameters())
    networks.g_optimizer.step()
    networks.discriminator.requires_grad_(True)
    return loss


def _penalty(step: _Step, real: Tensor, fake: Tensor, real_labels: Tensor) -> Tensor:
    """The loss's gradient penalty; 0 in the iterations without R1."""
    if step.settings.loss == "wgan-gp":
        mix = torch.rand(step.settings.batch, 1, 1, 1, generator=step.random("mix"))
        part = step.moved(step.ranks.part(mix))
        return gradient_penalty(step.critic, real, fake, real_labels, part)
    if step.networks.iteration % R1_EVERY:
        return torch.zeros((), device=real.device)
    return R1_EVERY * r1_penalty(step.critic, real, real_labels, step.settings.gamma)


@torch.no_grad()
def _move_average(networks: Networks, settings: Settings) -> None:
    seen = (networks.iteration + 1) * settings.batch
    half_life = min(EMA_KIMG * 1000, _WARM_UP * seen)
    keep = 0.5 ** (settings.batch / half_life)
    means, news = networks.average.parameters(), networks.generator.parameters()
    torch._foreach_lerp_([*means], [*news], 1 - keep)  # one launch for all weights
