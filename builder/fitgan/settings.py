"""All that decides a run's weights, the dataset apart → Settings."""

import math
from dataclasses import dataclass

from builder.contract import UsageError
from builder.generators.pggan_format import Design

LOSSES = ("logistic-r1", "wgan-gp")
CONDITIONINGS = ("projection", "acgan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A run's choices; UsageError names one that is none."""

    resolution: int = 64
    kimg: float = 500.0  # thousands of real images shown to the discriminator
    loss: str = "logistic-r1"
    conditioning: str = "projection"
    diffaug: bool = True
    grow: bool = False
    batch: int = 32  # over all processes
    lr: float = 0.002
    gamma: float = 0.0  # of R1; 0: 0.0002 · resolution² / batch (Karras et al. 2020, "auto")
    latent_size: int = 128
    fmap_base: int = 1024
    fmap_max: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what the command line checks too, for those who call from Python."""
        for name, known in (("loss", LOSSES), ("conditioning", CONDITIONINGS)):
            if (found := getattr(self, name)) not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, found {found!r}.")
        for name in ("kimg", "batch", "lr", "latent_size", "fmap_base", "fmap_max"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be positive, found {getattr(self, name)}.")
        if self.resolution & (self.resolution - 1) or not 4 <= self.resolution <= 1024:
            raise UsageError(
                f"--resolution takes a power of two from 4 to 1024, got {self.resolution}."
            )

        if not self.gamma >= 0:
            raise UsageError(f"gamma must not be negative, found {self.gamma}.")
        if not self.gamma:
            object.__setattr__(self, "gamma", 0.0002 * self.resolution**2 / self.batch)

    def design(self, labels: tuple[str, ...]) -> Design:
        """The generator's design in the published format."""
        return Design(
            labels=labels,
            resolution=self.resolution,
            num_channels=1,
            latent_size=self.latent_size,
            fmap_base=float(self.fmap_base),
            fmap_decay=1.0,
            fmap_max=self.fmap_max,
            normalize_latents=True,
            use_wscale=True,
            use_pixelnorm=True,
            pixelnorm_epsilon=1e-8,
            use_leakyrelu=True,
            fused_scale=True,
            lod=0.0,
        )

    @property
    def iterations(self) -> int:
        """The number of iterations of the whole run."""
        return math.ceil(self.kimg * 1000 / self.batch)

    def lod_at(self, iteration: int) -> float:
        """Levels of detail still missing: 0 without growing.

        The first half of the run grows: for each resolution after 4×4 as long to fade it in as to
        train on it (Karras et al. 2018).
        """
        levels = int(math.log2(self.resolution)) - 2
        if not self.grow or not levels:
            return 0.0
        stage = iteration / self.iterations * 2 * (levels + 0.5)  # 4×4 trains half a stage
        grown, inside = divmod(max(stage - 0.5, 0.0), 1.0)
        return max(levels - grown - min(2 * inside, 1.0), 0.0) if stage > 0.5 else float(levels)
