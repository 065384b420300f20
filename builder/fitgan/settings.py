"""All that decides a run's weights, apart from the dataset → Settings."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from builder.contract import UsageError
from builder.contract.precision import ASKED_PRECISIONS, AskedPrecision
from builder.generators.pggan_format import Design, check_design

Loss = Literal["logistic-r1", "wgan-gp"]
Conditioning = Literal["projection", "acgan"]

LOSSES: tuple[Loss, ...] = get_args(Loss)
CONDITIONINGS: tuple[Conditioning, ...] = get_args(Conditioning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A run's choices, the defaults resolved; UsageError names one that is not allowed."""

    resolution: int = 64  # pixels on a side
    kimg: float = 500.0  # thousands of real images shown to the discriminator
    loss: Loss = "logistic-r1"
    conditioning: Conditioning = "projection"
    diffaug: bool = True
    grow: bool = False
    grow_from: int = 4  # pixels on a side at which growing begins
    grow_kimg: float = 0.0  # of a stage; 0: such that the first half of the run grows
    batch: int = 32  # over all processes
    lr: float = 0.002
    lr_decay: float = 0.0  # last share of the run, in which the learning rate falls to 0
    gamma: float = 0.0  # of R1; 0: 0.0002 · resolution² / batch (Karras et al. 2020, "auto")
    latent_size: int = 128
    fmap_base: int = 1024
    fmap_max: int = 128
    seed: int = 0
    compile: bool = False  # by torch.compile, on a GPU
    precision: AskedPrecision = "auto"  # auto: chosen when the run begins, and then noted

    def __post_init__(self) -> None:
        """Check what the command line checks too, for callers from Python."""
        if self.loss not in LOSSES:
            raise UsageError(f"loss must be one of {', '.join(LOSSES)}, found {self.loss!r}.")
        if self.conditioning not in CONDITIONINGS:
            known = ", ".join(CONDITIONINGS)
            raise UsageError(f"conditioning must be one of {known}, found {self.conditioning!r}.")
        if self.precision not in ASKED_PRECISIONS:
            known = ", ".join(ASKED_PRECISIONS)
            raise UsageError(f"precision must be one of {known}, found {self.precision!r}.")
        for name in ("kimg", "batch", "lr", "latent_size", "fmap_base", "fmap_max"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(
                    f"{name} must be positive and finite, found {getattr(self, name)}."
                )
        if self.batch % 2:  # alone in its group, an image deviates from none
            raise UsageError(
                f"--batch takes an even number of images, because they are compared in groups of 4 "
                f"or 2, got {self.batch}: use {self.batch + 1}."
            )
        if self.resolution & (self.resolution - 1) or not 4 <= self.resolution <= 1024:
            raise UsageError(
                f"--resolution takes a power of two from 4 to 1024, got {self.resolution}."
            )
        if not 0 <= self.lr_decay <= 1:
            raise UsageError(f"--lr-decay is a share from 0 to 1, got {self.lr_decay}.")
        self._check_growing()
        if self.compile and self.grow:
            raise UsageError("--compile is for networks that do not change: leave out --grow.")
        if not self.gamma >= 0:
            raise UsageError(f"gamma must not be negative, found {self.gamma}.")
        if not self.gamma:
            object.__setattr__(self, "gamma", 0.0002 * self.resolution**2 / self.batch)

    def _check_growing(self) -> None:
        """Resolve the length of a stage, and check that the run has room for all of them."""
        start, levels = self.grow_from, self._levels
        if start & (start - 1) or not 4 <= start <= self.resolution:
            raise UsageError(
                f"--grow-from takes a power of two from 4 to --resolution {self.resolution}, got"
                f" {start}."
            )
        if not self.grow_kimg >= 0:
            raise UsageError(f"grow_kimg must not be negative, found {self.grow_kimg}.")
        if not self.grow and (self.grow_kimg or start != 4):
            raise UsageError("--grow-from and --grow-kimg are for growing: add --grow.")
        if self.grow and not self.grow_kimg:
            object.__setattr__(self, "grow_kimg", self.kimg / 2 / (levels + 0.5))
        if self.grow_kimg * (levels + 0.5) > self.kimg:
            raise UsageError(
                f"Growing takes {self.grow_kimg * (levels + 0.5):g} kimg and --kimg asks for"
                f" {self.kimg:g}: ask for more, or for a lower --grow-kimg."
            )

    def design(self, labels: tuple[str, ...]) -> Design:
        """The generator's design in the published format; CheckError where it does not allow it."""
        design = Design(
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
        check_design(design)
        return design

    @property
    def iterations(self) -> int:
        """The number of iterations of the whole run."""
        return math.ceil(self.kimg * 1000 / self.batch)

    def kimg_at(self, iteration: int) -> float:
        """Thousands of real images seen after that many iterations."""
        return iteration * self.batch / 1000

    def lod_at(self, iteration: int) -> float:
        """Levels of detail still missing: 0 without growing.

        Growing fades each resolution after the first one in for half a stage, and then trains on it
        for as long (Karras et al. 2018); on the first one it trains for half a stage.
        """
        levels = self._levels
        if not self.grow or not levels:
            return 0.0
        stage = self.kimg_at(iteration) / self.grow_kimg
        grown, inside = divmod(max(stage - 0.5, 0.0), 1.0)
        return max(levels - grown - min(2 * inside, 1.0), 0.0) if stage > 0.5 else float(levels)

    def lr_at(self, iteration: int) -> float:
        """The learning rate of an iteration; with `lr_decay` it falls linearly towards 0."""
        left = 1 - iteration / self.iterations
        return self.lr * min(1.0, left / self.lr_decay) if self.lr_decay else self.lr

    @property
    def _levels(self) -> int:
        """Resolutions to grow by."""
        return int(math.log2(self.resolution)) - int(math.log2(max(self.grow_from, 1)))
