"""A stranger's folder with a Stable Diffusion pipeline → the pipeline; nothing is run or fetched.

The folder is refused if it holds code or pickles, names classes other than Stable Diffusion's, or
lacks a tensor: every weight comes from a safetensors file of the folder.
"""

import math
import re
import warnings
from pathlib import Path
from typing import Any, Literal

from builder.contract import CheckError, UsageError, printable
from builder.contract.record import parse_json, read_bytes
from builder.contract.tensors import read_tensors_header

SCHEDULERS = (  # all noise that these add comes from the torch.Generator of the image
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
)
PIPELINE = "StableDiffusionPipeline"
_INDEX = "model_index.json"
_PARTS = {  # of a Stable Diffusion pipeline: the classes that may be loaded, and no others
    "scheduler": tuple(f"diffusers.{name}" for name in SCHEDULERS),
    "text_encoder": ("transformers.CLIPTextModel",),
    "tokenizer": ("transformers.CLIPTokenizer",),
    "unet": ("diffusers.UNet2DConditionModel",),
    "vae": ("diffusers.AutoencoderKL",),
}
_CONFIGS = ("config.json", "scheduler_config.json")
_MAX_NUMBER = 1 << 17  # a vocabulary has half of it
_MAX_LAYERS = 64  # in a row; of a block, or of a text encoder
_MAX_BLOCKS = 16
_SMALL = 10_000_000  # numbers that may be made without asking
_UNREAD = ("safety_checker", "feature_extractor", "image_encoder")  # made for photographs
_UNSAFE = re.compile(r"\.(bin|ckpt|h5|joblib|msgpack|npz|pickle|pkl|pt|pth|pyc?|so)", re.IGNORECASE)


def open_pipeline(
    argument: str, scheduler: str, dtype: Literal["float32", "bfloat16"]
) -> Any:  # neither library has types for it
    """The pipeline in the folder `argument`, on the GPU where there is one.

    `scheduler` is one of SCHEDULERS, or "" for the pipeline's own. UsageError where there is no
    pipeline, or its libraries are not installed; CheckError where the folder is refused.
    """
    folder = Path(argument)
    if not argument or not (folder / _INDEX).is_file():
        raise UsageError(f"{argument!r} is not a folder with a pipeline's {_INDEX}.")
    check_folder(folder)
    check_configs(folder)
    try:
        import torch

        pipeline = _load(folder, scheduler)
    except ImportError:
        raise UsageError(
            "The generator diffusers is not installed: pip install 'cxr-rebalance[diffusion]'."
        ) from None
    pipeline.set_progress_bar_config(disable=True)
    pipeline.vae.enable_slicing()  # decoding a whole batch at once would take most of the memory
    if torch.cuda.is_available():
        return pipeline.to("cuda", getattr(torch, dtype))
    torch.set_num_threads(1)  # one process per core renders; sums must not depend on their number
    return pipeline.to("cpu", getattr(torch, dtype))


def check_folder(folder: Path) -> None:
    """Raise CheckError unless the folder is a Stable Diffusion pipeline without code or pickles."""
    for file in sorted(folder.rglob("*")):
        if _UNSAFE.fullmatch(file.suffix):
            raise CheckError(
                f"{file} may run code: only pipelines that are all safetensors are read."
            )
        if file.is_symlink() and file.is_dir():
            raise CheckError(f"{file} is a link to a folder: put the folder itself there.")
    path = folder / _INDEX
    index = parse_json(read_bytes(path), str(path))
    if not isinstance(index, dict) or "_class_name" not in index:
        raise CheckError(f"{path} is not the index of a pipeline.")
    if (kind := index["_class_name"]) != PIPELINE:
        raise CheckError(f"{path} names {printable(repr(kind))}, expected {PIPELINE!r}.")
    lists = {name: part for name, part in index.items() if isinstance(part, list)}
    found = {name: ".".join(map(str, part)) for name, part in lists.items() if any(part)}
    for name in sorted({*_PARTS, *found} - {*_UNREAD}):
        part, known = found.get(name, "nothing"), _PARTS.get(name, ("nothing",))
        if part not in known:
            raise CheckError(
                f"{path} names {printable(repr(part))} as {printable(repr(name))}, expected "
                f"{' or '.join(known)}."
            )


def check_configs(folder: Path) -> None:
    """Raise CheckError where a part's own numbers are larger than those of any such network.

    They decide how much memory is taken, and for how long layers are made, before a weight is read.
    """
    for part in _PARTS:
        for path in sorted((folder / part).glob("*.json")):
            raw = parse_json(read_bytes(path), str(path))
            if path.name in _CONFIGS:
                _check_numbers(raw, path)


def _check_numbers(raw: object, path: Path, name: str = "") -> None:
    most = _MAX_LAYERS if "layers" in name else _MAX_NUMBER
    if isinstance(raw, int | float) and abs(raw) > most:
        shown = printable(f"{name} is {raw}")
        raise CheckError(f"{path} is refused: its {shown}, and at most {most} is possible.")
    if isinstance(raw, list) and len(raw) > _MAX_BLOCKS and name != "trained_betas":
        raise CheckError(f"{path} is refused: its {printable(name)} has {len(raw)} entries.")
    pairs = raw.items() if isinstance(raw, dict) else ()
    for own, value in pairs:
        _check_numbers(value, path, own)
    for value in raw if isinstance(raw, list) else ():
        _check_numbers(value, path, name)


def _check_weights(folder: Path, name: str, model: Any) -> None:
    """Raise ValueError where the network of a part is far larger than its weights.

    Which tensor is missing is said later, when the network has been made.
    """
    import torch
    import transformers

    raw = parse_json(read_bytes(folder / name / "config.json"), name)
    with torch.device("meta"):
        if name == "text_encoder":
            network = model(transformers.CLIPTextConfig.from_dict(raw))
        else:
            network = model.from_config(raw)
    needed = sum(weight.numel() for weight in network.parameters())
    headers = map(read_tensors_header, (folder / name).glob("*.safetensors"))
    entries = [entry for header in headers for entry in header.tensors.values()]
    if needed > 2 * sum(math.prod(entry.shape) for entry in entries) + _SMALL:
        raise ValueError(f"{name} needs {needed:,} weights, more than it has")


def _load(folder: Path, scheduler: str) -> Any:
    """The pipeline on the CPU; CheckError for whatever two libraries dislike about the folder."""
    import diffusers
    import transformers

    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.set_verbosity(logging.CRITICAL)  # what they would warn about is an error here
        logging.disable_progress_bar()
    models: dict[str, Any] = {
        "text_encoder": transformers.CLIPTextModel,
        "unet": diffusers.UNet2DConditionModel,
        "vae": diffusers.AutoencoderKL,
    }
    whole: Any = getattr(diffusers, PIPELINE)
    safely: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    parts: dict[str, Any] = dict.fromkeys(_UNREAD)
    try:
        with warnings.catch_warnings(action="ignore"):  # about old configurations, read correctly
            for name, model in models.items():
                _check_weights(folder, name, model)
                parts[name], found = model.from_pretrained(
                    folder / name, output_loading_info=True, **safely
                )
                if found["missing_keys"]:  # both libraries would draw them at random
                    raise ValueError(f"{name} lacks {min(found['missing_keys'])}")
            pipeline = whole.from_pretrained(folder, trust_remote_code=False, **parts, **safely)
            if scheduler:
                kind = getattr(diffusers, scheduler)
                pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    except Exception as error:  # a stranger's folder makes the two libraries raise anything
        why = printable(f"{type(error).__name__}, {error}".splitlines()[0], 200).rstrip(". ")
        raise CheckError(f"{folder} is not a complete pipeline in safetensors: {why}.") from None
    return pipeline
