"""Lightning Fabric, without the seconds that it takes to import other libraries.

Fabric asks for the version of torchmetrics by importing it, and torchmetrics imports transformers,
torchvision and scipy. Nothing here uses it, and it comes with Lightning.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(module: str) -> Iterator[None]:
    """`import module` fails in the block, unless it was imported before."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # as the documentation of import says
    try:
        yield
    finally:
        del sys.modules[module]


with hidden("torchmetrics"):
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

__all__ = ["DDPStrategy", "Fabric", "LightningEnvironment", "TorchElasticEnvironment", "hidden"]
