"""All that the weights of a run depend on, the dataset apart → Recipe."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What decides the weights of a run, the dataset apart."""

    epochs: int
    batch: int  # images per step, all ranks together
    lr: float
    optimizer: str  # a key of OPTIMIZERS
    arm: str  # one of arms.ARMS
    augment: str  # one of arms.AUGMENTS
    mix: str  # as arms.parse_mix reads it
    steps: str  # one of arms.STEPS
    init: str  # random, imagenet or a path
    seed: int
    precision: str  # a key of devices.PRECISIONS
    accumulate: int  # pieces in which a rank's share of a batch goes through the network
    compile: bool
