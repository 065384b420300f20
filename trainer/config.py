"""What was asked for, resolved, as a command and as config.json."""

import json
import shlex
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from builder.contract import CheckError, Manifest, UsageError, sha256_file
from builder.store import Cache
from trainer.arms import ARMS, AUGMENTS, STEPS, default_arm, parse_mix
from trainer.evaluate.inference import MIN_POSITIVES
from trainer.fit.devices import PRECISIONS
from trainer.fit.loop import OPTIMIZERS
from trainer.recipe import Recipe

Facts = dict[str, Any]

CHOICES = {
    "arm": ARMS,
    "augment": AUGMENTS,
    "optimizer": OPTIMIZERS,
    "precision": PRECISIONS,
    "steps": STEPS,
}
MIN_VALUES = {"epochs": 1, "batch": 2, "lr": 0.0, "seed": 0, "accumulate": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One run as asked for."""

    shards: str  # the manifest, a file or URL
    shards_root: str | None  # where the paths of its shards start; None: beside the manifest
    out: Path
    recipe: Recipe
    device: str
    workers: int
    resume: bool
    skip_bad: bool
    ram_bytes: int  # of decoded images that are kept
    cache: Cache  # of what is fetched
    save_every: float  # seconds
    track: tuple[str, ...]
    min_positives: int = MIN_POSITIVES  # of a pathology in test that gets figures

    @property
    def command(self) -> str:
        """The command that repeats the run."""
        words = {"shards": self.shards, "shards-root": self.shards_root, "out": self.out}
        recipe = asdict(self.recipe)
        flags = ["--compile"] if recipe.pop("compile") else []
        flags += ["--skip-bad"] if self.skip_bad else []
        options = words | recipe | {"device": self.device, "workers": self.workers}
        given = {name: value for name, value in options.items() if value is not None}
        return shlex.join(
            ["xtrain", *(f"--{name}={value}" for name, value in given.items()), *flags]
        )


def resolve(config: Config, manifest: Manifest, *, suffix: str) -> Config:
    """The config with the arm that suits the dataset and a folder, where none was asked for."""
    recipe = config.recipe
    arm = recipe.arm or default_arm(manifest)
    augment = "flip" if arm == "flip" else recipe.augment
    mix = ",".join(
        f"{origin}={weight!r}".removesuffix(".0")
        for origin, weight in parse_mix(recipe.mix).items()
    )
    out = config.out
    if out == Path():
        out = Path("runs") / f"{manifest.name}-{arm}{suffix}"
    return replace(config, out=out, recipe=replace(recipe, arm=arm, augment=augment, mix=mix))


def describe(manifest: Manifest, config: Config, fabric: Fabric) -> Facts:
    """What config.json holds: everything that was asked, resolved."""
    recipe, init = config.recipe, Path(config.recipe.init)
    return {
        "manifest": manifest.name,
        "manifest_sha256": manifest.digest,
        "shards": config.shards,
        "shards_root": config.shards_root,
        "out": str(config.out),
        **asdict(recipe),
        "init_sha256": sha256_file(init) if init.is_file() else None,
        "device": fabric.device.type,
        "ranks": fabric.world_size,
        "workers": config.workers,
        "skip_bad": config.skip_bad,
    }


def asked_of(run: Path) -> Facts:
    """What config.json of a run holds: its recipe, `shards` and `shards_root`."""
    path = run / "config.json"
    try:
        asked = json.loads(path.read_bytes())
    except OSError:
        raise UsageError(f"{run} holds no run of xtrain: it has no config.json.") from None
    except ValueError:
        asked = None
    kinds = {field.name: field.type for field in fields(Recipe)} | {"shards": str}
    facts: Facts = {"shards_root": None} | (asked if isinstance(asked, dict) else {})
    bad = [name for name, kind in kinds.items() if type(facts.get(name)) is not kind]
    bad += [name for name, known in CHOICES.items() if not bad and facts[name] not in known]
    bad += [name for name, least in MIN_VALUES.items() if not bad and not facts[name] >= least]
    if not bad and not isinstance(facts["shards_root"], str | None):
        bad = ["shards_root"]
    if bad:
        raise CheckError(f"{path} does not say the {bad[0]} of the run: it was changed or is cut.")
    return facts
