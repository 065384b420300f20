"""A whole run in a folder that survives SIGKILL: snapshots, history, sheets, and the result.

gan.safetensors       the moving average, in the format that `--generator` reads
gan.card.md           what it was made from, how, and its limits
gan.run/              recipe.json · snapshot.pt · history.csv · curves.png · sheets of fixed latents
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from builder.claim import claimed, keep_recipes
from builder.contract import (
    CheckError,
    Manifest,
    UsageError,
    dataset_root,
    index_root,
    load_index,
    load_manifest,
    write_last,
)
from builder.contract.new_file import remove_leftovers
from builder.contract.precision import PRECISIONS, Precision, check_precision
from builder.contract.ranks import own_gpu
from builder.contract.ranks import ranks as number_of_ranks
from builder.contract.record import parse_json, read_bytes
from builder.fitgan import snapshot
from builder.fitgan.card import card, curves_png
from builder.fitgan.data import Reals, load_reals
from builder.fitgan.distributed import Ranks, join
from builder.fitgan.history import Iteration, history_csv, history_row
from builder.fitgan.networks import GeneratorNetwork
from builder.fitgan.samples import Samples, draw_samples, sheet_png
from builder.fitgan.settings import Settings
from builder.fitgan.software import software
from builder.fitgan.train import Networks, NotFiniteError, iterate, make_networks
from builder.fitgan.trial import fastest
from builder.generators.pggan_format import pack
from builder.plugin import is_out_of_memory
from builder.progress import Advance, Progress

_MIN_SPREAD = 0.1  # of the reals' spread; below it the generator has collapsed
_CHECKED_FROM = 10.0  # kimg; earlier, everything is noise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What does not change during a run."""

    folder: Path
    manifest: Manifest
    reals: Reals
    settings: Settings
    ranks: Ranks

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshot.pt"


def fit_gan(
    manifest_path: Path,
    *,
    out: Path,
    settings: Settings,
    snapshot_kimg: float,
    device: torch.device,
    root: Path | None,
    progress: Progress,
) -> Networks:
    """The networks at the end of the run, with every file named above on disk.

    Run again after a crash, it resumes from the last snapshot and ends with the same weights.
    UsageError where settings, data or files do not allow it. CheckError when the training diverges
    or collapses; the last good snapshot is kept, if there is one.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out} must end in .safetensors, the format of the result.")
    manifest = load_manifest(manifest_path)
    index = load_index(manifest, index_root(manifest, manifest_path, root))
    shards = root or dataset_root(manifest_path)
    reals = load_reals(manifest, index, shards, settings.resolution)
    folder = out.with_suffix(".run")
    with (
        join(device, settings.batch) as (ranks, device),
        claimed(folder) if ranks.is_first else nullcontext(),
        _enough_memory(device, settings),
    ):
        if settings.compile and device.type != "cuda":
            raise UsageError(f"--compile is for GPUs, and this run is on {device}: leave it out.")
        precision = _precision(settings, reals, folder, ranks, device)
        settings = replace(settings, precision=precision)
        run = _Run(folder=folder, manifest=manifest, reals=reals, settings=settings, ranks=ranks)
        networks = _begin(run, device)
        every = max(round(snapshot_kimg * 1000 / settings.batch), 1)
        total = settings.iterations * settings.batch
        with progress(f"training in {precision}", total) as advance:
            advance(networks.iteration * settings.batch)
            for chunk in _chunks(run, networks, every, advance):
                _end_chunk(run, networks, chunk)
        if ranks.is_first:
            _write_result(run, networks, out)
    return networks


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if torch.device(name) == torch.device("cuda") and number_of_ranks() > 1:
            torch.cuda.set_device(own_gpu(torch.cuda.device_count()))  # touch no other rank's GPU
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"--device {name} is not available: try --device auto.") from None


def export(generator: GeneratorNetwork, unseen: tuple[str, ...]) -> bytes:
    """The .safetensors of a generator, float16: as `pggan.load` reads it.

    `unseen`: its labels that no training image had.
    """
    arrays = {
        name: tensor.detach().cpu().numpy().astype(np.float16)
        for name, tensor in generator.weights.items()
    }
    return pack(replace(generator.design, unseen=unseen), arrays)


def _precision(
    settings: Settings, reals: Reals, folder: Path, ranks: Ranks, device: torch.device
) -> Precision:
    """What is asked for; for `auto` that of the run in `folder`, or else the fastest one.

    UsageError where the device does not have it.
    """
    chosen: Precision | None = None if settings.precision == "auto" else settings.precision
    if chosen is None and ranks.is_first:
        chosen = _noted_precision(folder) or fastest(settings, reals.pathologies, device)
    chosen = ranks.agree(chosen, device)
    check_precision(chosen, device)
    return chosen


def _noted_precision(folder: Path) -> Precision | None:
    """The precision of the run that was begun in `folder`, if there is one."""
    if not (folder / "snapshot.pt").exists():
        return None
    try:
        found = parse_json(read_bytes(folder / "recipe.json"), "recipe.json")["precision"]
    except (CheckError, LookupError, TypeError):  # what is wrong is said when it is kept
        return None
    return found if found in PRECISIONS else None


@contextmanager
def _enough_memory(device: torch.device, settings: Settings) -> Iterator[None]:
    """UsageError where the device's memory runs out."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UsageError(
            f"The memory of {device} is too small for batches of {settings.batch} images of "
            f"{settings.resolution} pixels: use a smaller --batch or --fmap-max, and another --out."
        ) from None


def _begin(run: _Run, device: torch.device) -> Networks:
    """The networks of a new run, or of the last snapshot."""
    settings, folder = run.settings, run.folder
    if run.ranks.is_first:
        keep_recipes({folder: {**_recipe(settings, device), "manifest": run.manifest.digest}})
    networks = make_networks(settings, run.reals.pathologies, device)
    run.ranks.wait()
    snapshot.restore(networks, run.snapshot)
    if networks.iteration > settings.iterations:
        raise UsageError(
            f"{folder} has already seen {settings.kimg_at(networks.iteration):g} kimg and --kimg "
            f"asks for {settings.kimg:g}: ask for at least as many, or use another --out."
        )
    _check_learning_rate(networks, settings, folder)
    if run.ranks.is_first and networks.history:  # a kill may fall between snapshot and history
        write_last(folder / "history.csv", history_csv(networks.history))
    return networks


def _recipe(settings: Settings, device: torch.device) -> dict[str, object]:
    """What must be the same to resume; a run may be prolonged by more kimg."""
    recipe: dict[str, object] = asdict(settings)
    del recipe["kimg"]
    return {**recipe, "software": software(device)}


def _check_learning_rate(networks: Networks, settings: Settings, folder: Path) -> None:
    """UsageError where the last iteration had another learning rate than these settings give it."""
    used = networks.g_optimizer.param_groups[0]["lr"]
    if networks.iteration and used != settings.lr_at(networks.iteration - 1):
        raise UsageError(
            f"The learning rate of {folder} has begun to fall, for another --kimg than"
            f" {settings.kimg:g}: repeat the first one, or use another --out."
        )


def _chunks(
    run: _Run, networks: Networks, every: int, advance: Advance
) -> Iterator[list[Iteration]]:
    """The iterations in lists that end where their number is a multiple of `every`, or the last.

    Each moves the bar by a batch.
    """
    settings = run.settings
    while networks.iteration < settings.iterations:
        end = min(networks.iteration // every * every + every, settings.iterations)
        chunk = []
        try:
            for iteration in iterate(networks, run.reals, settings, run.ranks, end=end):
                advance(settings.batch)
                chunk.append(iteration)
        except NotFiniteError as error:
            if not run.snapshot.exists():
                raise
            said = str(error).removesuffix(".")
            raise CheckError(f"{said}; {run.snapshot} holds the last good state.") from None
        yield chunk


def _end_chunk(run: _Run, networks: Networks, iterations: Sequence[Iteration]) -> None:
    """Check what the average makes, add a row to the history, and write a snapshot."""
    samples = draw_samples(networks.average, run.reals, run.settings, iterations[-1].lod)
    device = next(networks.average.parameters()).device  # NCCL averages on the GPU alone
    figures = torch.tensor([samples.spread, samples.label_effect], device=device)
    spread, label_effect = run.ranks.mean(figures).tolist()
    row = history_row(iterations, spread=spread, label_effect=label_effect)
    if row.kimg >= _CHECKED_FROM and not spread >= _MIN_SPREAD:
        raise _collapsed(run, row.kimg, spread)
    networks.history.append(row)
    if run.ranks.is_first:
        _write_snapshot(run, networks, samples)


def _collapsed(run: _Run, kimg: float, spread: float) -> CheckError:
    if run.snapshot.exists():
        return CheckError(
            f"The generator collapsed at {kimg:.0f} kimg: its images differ {spread:.1%} as "
            f"much as real ones; {run.snapshot} holds the last good state."
        )
    return CheckError(
        f"The generator collapsed at {kimg:.0f} kimg: its images differ {spread:.1%} as much as "
        "real ones, before the first snapshot; start over with another --seed."
    )


def _write_snapshot(run: _Run, networks: Networks, samples: Samples) -> None:
    history = networks.history
    picture = sheet_png(samples.images, run.reals.pathologies)
    write_last(run.folder / "sheet.png", picture)
    if len(history).bit_count() == 1:  # snapshots 1, 2, 4, 8 … show the way
        write_last(run.folder / f"sheet-{history[-1].kimg:.0f}kimg.png", picture)
    snapshot.save(networks, run.snapshot)
    write_last(run.folder / "history.csv", history_csv(history))


def _write_result(run: _Run, networks: Networks, out: Path) -> None:
    """Curves and card, then the generator: it exists = the run is complete."""
    history = networks.history
    remove_leftovers(out.parent)  # of a run whose disk failed at the last moment
    write_last(run.folder / "curves.png", curves_png(history))
    used = software(next(networks.average.parameters()).device)
    text = card(run.manifest, run.reals, run.settings, history, out.name, used)
    write_last(out.with_suffix(".card.md"), text.encode())
    write_last(out, export(networks.average, run.reals.unseen))
