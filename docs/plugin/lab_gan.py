"""The smallest generator of your own that works: put your network where the linear map is."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


class LabGan:
    """Grey images: each latent and each label is the amplitude of one pattern."""

    labels = ("Mass", "Edema", "Pleural Thickening")  # your own, in the network's order
    latent_size = 16
    # device = "cuda"  where it renders on a GPU
    # software = ("torch",)  distributions on whose versions pixels depend
    # unseen = ("Edema",)  labels that no image had in training

    def __init__(self, network: Floats) -> None:
        """Take over a network, here [Z + L, H, W]."""
        self.network = network
        self.resolution = network.shape[-1]

    def __call__(self, latents: Floats, labels: Floats) -> Bytes:
        """uint8 [B, H, W] from standard normal [B, Z] and label vectors [B, L], 1 = present."""
        inputs = np.concatenate([latents, labels], axis=1)
        images: Floats = 128 + 12 * np.einsum("bn,nhw->bhw", inputs, self.network)
        return images.clip(0, 255).astype(np.uint8)


def load(argument: str, image_size: int, *, gain: str = "1") -> LabGan:
    """Called by `--generator lab:WEIGHTS.npy`, or `lab` for noise; `image_size` is a wish.

    `--generator-option gain=0.5` arrives here as text.
    """
    shape = (LabGan.latent_size + len(LabGan.labels), image_size, image_size)
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return LabGan(float(gain) * (np.load(argument) if argument else noise))
