"""Stable Diffusion pipelines, such as RoentGen: label vectors as prompts, a folder of safetensors.

    labels → prompt → text encoder; latents → initial noise → denoising steps → VAE → grey

The defaults are RoentGen's: prompts like the impression of a report, 75 steps at guidance 4 (its
model card; RoentGen-v2's inference configuration has 75 and 3).
"""

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from reprlib import repr as brief
from typing import Any

import numpy as np
from PIL import Image

from builder.contract import Bytes, UsageError, check_pathologies
from builder.generators.diffusers_folder import SCHEDULERS, open_pipeline
from builder.generators.diffusers_prompt import ABSENT, LABELS, TEMPLATE, prompt
from builder.labels import NO_FINDING, canonical, find_pathology
from builder.render import Floats, exact

_OPTIONS = {  # what an option's text must match, and how a message says it
    "template": (r"[^{}]*\{findings\}[^{}]*", "a text with {findings} once and no other brace"),
    "absent": (r"\S[^{}]*", "a text"),
    "guidance": (r"[0-9]{1,2}(\.[0-9]{1,4})?", "a number from 0 to 99"),
    "steps": (r"[1-9][0-9]{0,2}|1000", "a whole number from 1 to 1000"),
    "scheduler": ("|".join(("", *SCHEDULERS)), f"one of {', '.join(SCHEDULERS)}"),
    "precision": ("fp32|bf16", "fp32 or bf16"),
}


class DiffusersGenerator:
    """Grey images of one pipeline; `device` is "cuda" or "cpu".

    On the CPU images are made one by one, so that an image's pixels depend on its own latent and
    labels alone, to the last bit.
    """

    def __init__(
        self,
        pipeline: Any,
        labels: Sequence[str],
        make_prompt: Callable[[Floats], str],
        *,
        guidance: float,
        steps: int,
    ) -> None:
        """Take over a pipeline on its device; `make_prompt` gives the prompt of a label vector."""
        channels, side = pipeline.unet.config.in_channels, pipeline.unet.config.sample_size
        height, width = side if isinstance(side, (list, tuple)) else (side, side)
        if height != width or not isinstance(height, int):
            raise UsageError(f"The pipeline's images are not square: its latents are {side}.")
        self.software = ("diffusers", "transformers")
        self.labels = tuple(labels)
        self.resolution: int = height * pipeline.vae_scale_factor
        self.latent_size: int = channels * height * width
        self.device: str = pipeline.device.type
        self._shape = (channels, height, width)
        self._pipeline, self._make_prompt = pipeline, make_prompt
        self._guidance, self._steps = guidance, steps

    def __call__(self, latents: Floats, labels: Floats) -> Bytes:
        """uint8 [B, H, W] from latents float32 [B, Z] and labels float32 [B, L], row by row.

        An image with a value that is not finite is 0 everywhere. UsageError for a prompt that is
        too long for the text encoder.
        """
        assert latents.shape[1:] == (self.latent_size,), latents.shape
        assert labels.shape == (len(latents), len(self.labels)), labels.shape
        prompts = [self._make_prompt(row) for row in labels]
        self._check_lengths(prompts)
        if self.device != "cpu":
            return self._render(latents, prompts)
        images = np.empty((len(latents), self.resolution, self.resolution), np.uint8)
        for i, text in enumerate(prompts):
            # A batch is padded with its last row, and an image takes minutes: never make it twice.
            same = i > 0 and text == prompts[i - 1] and np.array_equal(latents[i], latents[i - 1])
            images[i] = images[i - 1] if same else self._render(latents[i : i + 1], [text])[0]
        return images

    def _check_lengths(self, prompts: Iterable[str]) -> None:
        """Raise UsageError unless the text encoder reads every prompt to its end."""
        tokenizer = self._pipeline.tokenizer
        for text in dict.fromkeys(prompts):
            if (found := len(tokenizer(text).input_ids)) > tokenizer.model_max_length:
                raise UsageError(
                    f"The prompt {text!r} has {found} tokens, but the text encoder reads "
                    f"{tokenizer.model_max_length}: shorten template, absent or negate."
                )

    def _render(self, latents: Floats, prompts: list[str]) -> Bytes:
        """uint8 [B, H, W]: 8-bit RGB rounded as diffusers does, then ITU-R 601 as Pillow does."""
        import torch

        # The pipeline itself scales this noise, by the scheduler's init_noise_sigma.
        noise = torch.from_numpy(latents.reshape(-1, *self._shape)).to(self._pipeline.unet.dtype)
        # Some schedulers hand NumPy a tensor in a way that it calls deprecated.
        quiet = warnings.catch_warnings(action="ignore", category=DeprecationWarning)
        with exact(), quiet:
            images = self._pipeline(
                prompts,
                latents=noise,
                generator=[torch.Generator().manual_seed(_seed(latent)) for latent in latents],
                output_type="pt",
                guidance_scale=self._guidance,
                num_inference_steps=self._steps,
            ).images.float()
        broken = ~images.isfinite().flatten(1).all(dim=1)
        images = (images.nan_to_num() * 255).round().to(torch.uint8)
        images[broken] = 0
        colours = images.permute(0, 2, 3, 1).cpu().numpy()
        return np.stack([np.asarray(Image.fromarray(colour).convert("L")) for colour in colours])


def load(
    argument: str,
    image_size: int,  # noqa: ARG001 — the pipeline has its own
    *,
    labels: str = ",".join(LABELS),
    template: str = TEMPLATE,
    absent: str = ABSENT,
    negate: str = "",
    guidance: str = "4",
    steps: str = "75",
    scheduler: str = "",
    precision: str = "fp32",
) -> DiffusersGenerator:
    """The generator in the pipeline's folder `argument`, on the GPU where there is one.

    `labels` and `negate` are names separated by commas, `scheduler` is one of SCHEDULERS or "" for
    the pipeline's own. UsageError for an option that is not allowed; CheckError where
    `open_pipeline` refuses the folder. Nothing is ever fetched.
    """
    names = _names("labels", labels)
    findings = [name for name in names if canonical(name) != NO_FINDING]
    denied = _names("negate", negate) if negate else []
    negated = {find_pathology(name, findings) for name in denied}
    if None in negated:
        raise _refusal("negate", negate, f"names among {', '.join(findings)}")
    given = {"template": template, "absent": absent, "guidance": guidance, "steps": steps}
    for option, found in (given | {"scheduler": scheduler, "precision": precision}).items():
        pattern, allowed = _OPTIONS[option]
        if not re.fullmatch(pattern, found):
            raise _refusal(option, found, allowed)
    return DiffusersGenerator(
        open_pipeline(argument, scheduler, "bfloat16" if precision == "bf16" else "float32"),
        names,
        partial(prompt, labels=names, template=template, absent=absent, negate=negated),
        guidance=float(guidance),
        steps=int(steps),
    )


def _seed(latent: Floats) -> int:
    """The seed of the noise that a scheduler adds to the image of this latent."""
    return int.from_bytes(hashlib.sha256(latent.astype("<f4").tobytes()).digest()[:8], "little")


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if "" in names or len({canonical(name) for name in names}) < len(names):
        raise _refusal(option, text, "names separated by commas, each once")
    check_pathologies(names)
    return names


def _refusal(option: str, found: str, allowed: str) -> UsageError:
    return UsageError(f"The generator's option {option} takes {allowed}; got {brief(found)}.")
