"""A whole run in a folder that survives SIGKILL: snapshots, history, sheets, and the result.

gan.safetensors       the moving average, in the format that `--generator` reads
gan.card.md           what it was made from, how, and its limits
gan.run/              recipe.json · snapshot.pt · history.csv · curves.png · sheets of fixed latents
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from builder.claim import claimed, keep_recipes
from builder.contract import (
    CheckError,
    Manifest,
    UsageError,
    dataset_root,
    load_manifest,
    write_last,
)
from builder.fitgan import snapshot
from builder.fitgan.card import card, curves_png
from builder.fitgan.data import Reals, load_reals
from builder.fitgan.distributed import Ranks, join
from builder.fitgan.history import Iteration, history_csv, history_row
from builder.fitgan.networks import GeneratorNetwork
from builder.fitgan.samples import Samples, draw_samples, sheet_png
from builder.fitgan.settings import Settings
from builder.fitgan.train import Networks, iterate, make_networks
from builder.generators.pggan_format import pack
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
    or collapses; the last good snapshot is kept.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out} must end in .safetensors, the format of the result.")
    manifest = load_manifest(manifest_path)
    reals = load_reals(manifest, root or dataset_root(manifest_path), settings.resolution)
    folder = out.with_suffix(".run")
    with (
        join(device, settings.batch) as (ranks, device),
        claimed(folder) if ranks.is_first else nullcontext(),
    ):
        run = _Run(folder=folder, manifest=manifest, reals=reals, settings=settings, ranks=ranks)
        networks = _begin(run, device)
        every = max(round(snapshot_kimg * 1000 / settings.batch), 1)
        with progress("training", settings.iterations * settings.batch) as advance:
            advance(networks.iteration * settings.batch)
            iterations = iterate(networks, reals, settings, ranks)
            for chunk in _chunks(iterations, every, networks, settings.batch, advance):
                _end_chunk(run, networks, chunk)
        if ranks.is_first:
            _write_result(run, networks, out)
    return networks


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
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


def _begin(run: _Run, device: torch.device) -> Networks:
    """The networks of a new run, or of the last snapshot."""
    settings, folder = run.settings, run.folder
    if run.ranks.is_first:
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
        keep_recipes({folder: {**_recipe(settings), "manifest": run.manifest.digest}})
    networks = make_networks(settings, run.reals.pathologies, device)
    run.ranks.wait()
    snapshot.restore(networks, folder / "snapshot.pt")
    if networks.iteration > settings.iterations:
        raise UsageError(
            f"{folder} has already seen {settings.kimg_at(networks.iteration):g} kimg and --kimg "
            f"asks for {settings.kimg:g}: ask for at least as many, or use another --out."
        )
    if run.ranks.is_first and networks.history:  # a kill may fall between snapshot and history
        write_last(folder / "history.csv", history_csv(networks.history))
    return networks


def _recipe(settings: Settings) -> dict[str, object]:
    """What must be the same to resume; without growing, a run may be prolonged by more kimg."""
    recipe: dict[str, object] = asdict(settings)
    if not settings.grow:
        del recipe["kimg"]
    return recipe


def _chunks(
    iterations: Iterator[Iteration], every: int, networks: Networks, batch: int, advance: Advance
) -> Iterator[list[Iteration]]:
    """The iterations in lists that end where their number is a multiple of `every`, or the last.

    Each moves the bar by a batch.
    """

    def advancing() -> Iterator[Iteration]:
        for iteration in iterations:
            advance(batch)
            yield iteration

    counted = advancing()
    while chunk := list(islice(counted, every - networks.iteration % every)):
        yield chunk


def _end_chunk(run: _Run, networks: Networks, iterations: Sequence[Iteration]) -> None:
    """Check what the average makes, add a row to the history, and write a snapshot."""
    samples = draw_samples(networks.average, run.reals, run.settings)
    device = next(networks.average.parameters()).device  # NCCL averages on the GPU alone
    figures = torch.tensor([samples.spread, samples.label_effect], device=device)
    spread, label_effect = run.ranks.mean(figures)
    row = history_row(iterations, spread=spread, label_effect=label_effect)
    if row.kimg >= _CHECKED_FROM and not spread >= _MIN_SPREAD:
        raise CheckError(
            f"The generator collapsed at {row.kimg:.0f} kimg: its images differ {spread:.1%} as "
            f"much as real ones; {run.folder / 'snapshot.pt'} holds the last good state."
        )
    networks.history.append(row)
    if run.ranks.is_first:
        _write_snapshot(run, networks, samples)


def _write_snapshot(run: _Run, networks: Networks, samples: Samples) -> None:
    history = networks.history
    picture = sheet_png(samples.images, run.reals.pathologies)
    write_last(run.folder / "sheet.png", picture)
    if len(history).bit_count() == 1:  # snapshots 1, 2, 4, 8 … show the way
        write_last(run.folder / f"sheet-{history[-1].kimg:.0f}kimg.png", picture)
    snapshot.save(networks, run.folder / "snapshot.pt")
    write_last(run.folder / "history.csv", history_csv(history))


def _write_result(run: _Run, networks: Networks, out: Path) -> None:
    """Curves and card, then the generator: it exists = the run is complete."""
    history = networks.history
    write_last(run.folder / "curves.png", curves_png(history))
    text = card(run.manifest, run.reals, run.settings, history, out.name)
    write_last(out.with_suffix(".card.md"), text.encode())
    write_last(out, export(networks.average, run.reals.unseen))
