"""Stable Diffusion pipelines, such as RoentGen: label vectors as prompts, a folder of safetensors.

    labels → prompt → text encoder; latents → initial noise → denoising steps → VAE → grey

The defaults are RoentGen's: prompts like the impression of a report, 75 steps at guidance 4 (its
model card; RoentGen-v2's inference configuration has 75 and 3).
"""

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from reprlib import repr as brief
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from builder.contract import Bytes, CheckError, UsageError, check_pathologies
from builder.labels import CHEXPERT, NIH, NO_FINDING, canonical, find_pathology

Floats = npt.NDArray[np.float32]

LABELS = (*CHEXPERT, *(name for name in NIH if find_pathology(name, CHEXPERT) is None))
TEMPLATE = "{findings}."
ABSENT = "no acute cardiopulmonary process"  # as in RoentGen-v2's demo prompts
SCHEDULERS = (  # all noise that these add comes from the torch.Generator of the image
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)
_PARTS = {  # of a Stable Diffusion pipeline: the classes that may be loaded, and no others
    "scheduler": tuple(f"diffusers.{name}" for name in SCHEDULERS),
    "text_encoder": ("transformers.CLIPTextModel",),
    "tokenizer": ("transformers.CLIPTokenizer",),
    "unet": ("diffusers.UNet2DConditionModel",),
    "vae": ("diffusers.AutoencoderKL",),
}
_UNREAD = ("safety_checker", "feature_extractor", "image_encoder")  # made for photographs
_UNSAFE = re.compile(r"\.(bin|ckpt|h5|joblib|msgpack|npz|pickle|pkl|pt|pth|pyc?|so)", re.IGNORECASE)
_PHRASES = {"pleural other": "pleural thickening"}  # first of the CheXpert labeler's words for it
_OPTIONS = {
    "template": (r"[^{}]*\{findings\}[^{}]*", "a text with {findings} once and no other brace"),
    "absent": (r"\S[^{}]*", "a text"),
    "guidance": (r"[0-9]{1,2}(\.[0-9]{1,4})?", "a number from 0 to 99"),
    "steps": (r"[1-9][0-9]{0,2}|1000", "a whole number from 1 to 1000"),
    "scheduler": ("|".join(("", *SCHEDULERS)), f"one of {', '.join(SCHEDULERS)}"),
    "precision": ("fp32|bf16", "fp32 or bf16"),
}


def prompt(
    present: Iterable[float],
    labels: Sequence[str],
    *,
    template: str = TEMPLATE,
    absent: str = ABSENT,
    negate: Collection[str | None] = (),
) -> str:
    """The prompt of a label vector: its findings in the order of `labels`, between commas.

    `present` is [L], 1 = present. `absent` is said where there is no finding; support devices are
    none, as in CheXpert's No Finding. Labels in `negate` are denied where they are not present.
    """
    shown, denied = [], []
    for value, name in zip(present, labels, strict=True):
        phrase = _PHRASES.get(canonical(name), canonical(name))
        if value and phrase != NO_FINDING:
            shown.append(phrase)
        elif name in negate:
            denied.append(phrase)
    if not {*shown} - {"support devices"}:
        shown.insert(0, absent)
    words = [*shown, *(f"no {phrase}" for phrase in denied if phrase not in shown)]
    return template.replace("{findings}", ", ".join(dict.fromkeys(words)))


class DiffusersGenerator:
    """Grey images of one pipeline; `device` is "cuda" or "cpu".

    On the CPU images are made one by one, so that an image's pixels depend on its own latent and
    labels alone, to the last bit.
    """

    def __init__(
        self, pipeline: Any, labels: Sequence[str], words: Callable[[Floats], str], **sampling: Any
    ) -> None:
        """Take over a pipeline on its device; `words` makes the prompt of a label vector."""
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
        self._pipeline, self._words, self._sampling = pipeline, words, sampling

    def __call__(self, latents: Floats, labels: Floats) -> Bytes:
        """uint8 [B, H, W] from latents float32 [B, Z] and labels float32 [B, L], row by row.

        An image with a value that is not finite is 0 everywhere. UsageError for a prompt that is
        too long for the text encoder.
        """
        assert latents.shape[1:] == (self.latent_size,), latents.shape
        assert labels.shape == (len(latents), len(self.labels)), labels.shape
        prompts = [self._words(row) for row in labels]
        self._check_lengths(prompts)
        if self.device != "cpu":
            return self._render(latents, prompts)
        images = np.empty((len(latents), self.resolution, self.resolution), np.uint8)
        for i, text in enumerate(prompts):
            # A batch is padded with its last row; minutes per image are too many to draw it again.
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
        # TF32 and the choice of algorithms by timing would make pixels depend on the card's mood.
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        # Some schedulers hand NumPy a tensor in a way that it calls deprecated.
        quiet = warnings.catch_warnings(action="ignore", category=DeprecationWarning)
        with exact, quiet:
            images = self._pipeline(
                prompts,
                latents=noise,
                generator=[torch.Generator().manual_seed(_seed(latent)) for latent in latents],
                output_type="pt",
                **self._sampling,
            ).images.float()
        broken = ~images.isfinite().flatten(1).all(dim=1)
        images = (images.nan_to_num() * 255).round().to(torch.uint8)
        images[broken] = 0
        colours = images.permute(0, 2, 3, 1).cpu().numpy()
        return np.stack([np.asarray(Image.fromarray(colour).convert("L")) for colour in colours])


def _seed(latent: Floats) -> int:
    """The seed of the noise that a scheduler adds to the image of this latent."""
    return int.from_bytes(hashlib.sha256(latent.astype("<f4").tobytes()).digest()[:8], "little")


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

    `labels` and `negate` are names between commas, `scheduler` is one of SCHEDULERS or "" for the
    pipeline's own. The folder is a stranger's: CheckError if it holds code or pickles, names
    classes beyond Stable Diffusion's, or lacks a tensor. Nothing is ever fetched.
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
        _open(argument, scheduler, {"fp32": "float32", "bf16": "bfloat16"}[precision]),
        names,
        partial(prompt, labels=names, template=template, absent=absent, negate=negated),
        guidance_scale=float(guidance),
        num_inference_steps=int(steps),
    )


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if "" in names or len({canonical(name) for name in names}) < len(names):
        raise _refusal(option, text, "names between commas, each once")
    check_pathologies(names)
    return names


def _refusal(option: str, found: str, allowed: str) -> UsageError:
    return UsageError(f"The generator's option {option} takes {allowed}; got {brief(found)}.")


def _open(argument: str, scheduler: str, dtype: str) -> Any:
    """The pipeline on its device; every weight comes from a safetensors file of the folder."""
    folder = Path(argument)
    if not argument or not (folder / "model_index.json").is_file():
        raise UsageError(f"{argument!r} is no folder with a pipeline's model_index.json.")
    _check_folder(folder)
    try:
        import diffusers
        import torch
        import transformers
    except ImportError:
        raise UsageError(
            "The generator diffusers is not installed: pip install 'cxr-rebalance[diffusion]'."
        ) from None
    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.set_verbosity(logging.CRITICAL)  # what they would warn of is an error here
        logging.disable_progress_bar()
    safely: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    parts: dict[str, Any] = dict.fromkeys(_UNREAD)
    models: dict[str, Any] = {
        "text_encoder": transformers.CLIPTextModel,
        "unet": diffusers.UNet2DConditionModel,
        "vae": diffusers.AutoencoderKL,
    }
    whole: Any = diffusers.StableDiffusionPipeline
    try:
        with warnings.catch_warnings(action="ignore"):  # of old configurations, read as meant
            for name, model in models.items():
                parts[name], found = model.from_pretrained(
                    folder / name, output_loading_info=True, **safely
                )
                if found["missing_keys"]:  # both libraries would draw them at random
                    raise ValueError(f"{name} lacks {min(found['missing_keys'])}")
            pipeline = whole.from_pretrained(folder, trust_remote_code=False, **parts, **safely)
            if scheduler:
                kind = getattr(diffusers, scheduler)
                pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    except Exception as error:  # whatever a stranger's folder makes two libraries raise
        why = f"{type(error).__name__}, {error}".splitlines()[0].rstrip(". ")
        raise CheckError(f"{folder} is no whole pipeline in safetensors: {why}.") from None
    pipeline.set_progress_bar_config(disable=True)
    pipeline.vae.enable_slicing()  # decoding a whole batch at once would take most of the memory
    if torch.cuda.is_available():
        return pipeline.to("cuda", getattr(torch, dtype))
    torch.set_num_threads(1)  # a process per core renders; sums must not depend on their number
    return pipeline.to("cpu", getattr(torch, dtype))


def _check_folder(folder: Path) -> None:
    """Raise CheckError unless the folder is a Stable Diffusion pipeline without code or pickles."""
    for file in sorted(folder.rglob("*")):
        if _UNSAFE.fullmatch(file.suffix):
            raise CheckError(f"{file} may run code: only pipelines in safetensors alone are read.")
        if file.is_symlink() and file.is_dir():
            raise CheckError(f"{file} is a link to a folder: put the folder itself there.")
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text())
        lists = {name: part for name, part in index.items() if isinstance(part, list)}
        found = {name: ".".join(map(str, part)) for name, part in lists.items() if any(part)}
        kind = str(index["_class_name"])
    except (AttributeError, KeyError, RecursionError, ValueError):
        raise CheckError(f"{path} is not the index of a pipeline.") from None
    if kind != "StableDiffusionPipeline":
        raise CheckError(f"{path} names {kind[:80]!r}, expected 'StableDiffusionPipeline'.")
    for name in sorted({*_PARTS, *found} - {*_UNREAD}):
        part, known = found.get(name, "nothing"), _PARTS.get(name, ("nothing",))
        if part not in known:
            raise CheckError(
                f"{path} names {part[:80]!r} as {name[:80]!r}, expected {' or '.join(known)}."
            )
