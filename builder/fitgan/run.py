"""A whole run in a folder that survives SIGKILL: snapshots, history, sheets, and the result.

gan.safetensors       the moving average, in the format that `--generator` reads
gan.run/              recipe.json · snapshot.pt · history.csv · sheets of fixed latents
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
from builder.fitgan.card import card, curves, sheet
from builder.fitgan.data import Reals, load_reals
from builder.fitgan.distributed import Team, join
from builder.fitgan.networks import Generator
from builder.fitgan.settings import Settings
from builder.fitgan.train import Networks, iterate, make_networks, stream, to_float
from builder.generators.pggan_format import pack
from builder.progress import Progress

COLUMNS = 8  # of a sheet
_COLLAPSED = 0.1  # of the reals' spread
_JUDGED_FROM = 10.0  # kimg: before, everything is noise


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

    Run again after a crash, it goes on from the last snapshot to the same weights. CheckError when
    the training diverges or collapses; the snapshot before that is kept.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out} must end in .safetensors, the format of the result.")
    manifest = load_manifest(manifest_path)
    reals = load_reals(manifest, root or dataset_root(manifest_path), settings.resolution)
    folder = out.with_suffix(".run")
    with (
        join(device, settings.batch) as (team, device),
        claimed(folder) if team.rank == 0 else nullcontext(),
    ):
        networks = _begin(folder, settings, manifest, reals, team, device)
        every = max(round(snapshot_kimg * 1000 / settings.batch), 1)
        with progress("training", settings.iterations * settings.batch) as advance:
            advance(networks.iteration * settings.batch)
            records = _ticked(iterate(networks, reals, settings, team), settings.batch, advance)
            for chunk in _chunks(records, every, networks):
                _keep(networks, reals, settings, folder, chunk, team)
        if team.rank == 0:
            write_last(folder / "curves.png", curves(networks.history))
            text = card(manifest, reals, settings, networks.history, out.name)
            write_last(out.with_suffix(".card.md"), text.encode())
            write_last(out, export(networks.average, reals.unseen))
    return networks


def _begin(
    folder: Path,
    settings: Settings,
    manifest: Manifest,
    reals: Reals,
    team: Team,
    device: torch.device,
) -> Networks:
    """The networks of a new run, or of the last snapshot."""
    if team.rank == 0:
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
        keep_recipes({folder: {**_recipe(settings), "manifest": manifest.digest}})
    networks = make_networks(settings, reals.pathologies, device)
    team.wait()
    snapshot.restore(networks, folder / "snapshot.pt")
    if networks.iteration > settings.iterations:
        seen = networks.iteration * settings.batch / 1000
        raise UsageError(
            f"{folder} has already seen {seen:g} kimg and --kimg asks for {settings.kimg:g}: ask "
            "for at least as many, or use another --out."
        )
    if team.rank == 0 and networks.history:  # a kill may have come between snapshot and history
        write_last(folder / "history.csv", _csv(networks.history))
    return networks


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"--device {name} is not to be had here: try --device auto.") from None


def export(generator: Generator, unseen: tuple[str, ...]) -> bytes:
    """The .safetensors of a generator, float16: as `pggan.load` reads it."""
    arrays = {
        name: tensor.detach().cpu().numpy().astype(np.float16)
        for name, tensor in generator.weights.items()
    }
    return pack(replace(generator.design, unseen=unseen), arrays)


def _recipe(settings: Settings) -> dict[str, Any]:
    """What must agree to go on; without growing, more kimg only go further."""
    recipe = asdict(settings)
    if not settings.grow:
        del recipe["kimg"]
    return recipe


def _ticked(
    records: Iterator[dict[str, float]], batch: int, advance: Callable[[int], None]
) -> Iterator[dict[str, float]]:
    for record in records:
        advance(batch)
        yield record


def _chunks(
    records: Iterator[dict[str, float]], every: int, networks: Networks
) -> Iterator[list[dict[str, float]]]:
    """The records in lists that end where the iteration is a multiple of `every`, or the last."""
    while chunk := list(islice(records, every - networks.iteration % every)):
        yield chunk


def _keep(
    networks: Networks,
    reals: Reals,
    settings: Settings,
    folder: Path,
    records: Sequence[dict[str, float]],
    team: Team,
) -> None:
    images, *judged = _look(networks.average, reals, settings)
    device = next(networks.average.parameters()).device  # NCCL averages on the GPU alone
    spread, effect = team.mean(torch.tensor(judged, device=device))
    kimg = records[-1]["kimg"]
    if kimg >= _JUDGED_FROM and not spread >= _COLLAPSED:
        raise CheckError(
            f"The generator collapsed at {kimg:.0f} kimg: its images differ {spread:.1%} as much "
            f"as real ones; {folder / 'snapshot.pt'} holds the last good state."
        )
    means = {
        name: sum(record[name] for record in records) / len(records)
        for name in ("d_loss", "g_loss", "real", "fake")
    }
    penalties = [record["penalty"] for record in records if record["penalty"]]
    means["penalty"] = sum(penalties) / len(penalties) if penalties else 0.0
    last = records[-1]
    networks.history.append(
        {"kimg": kimg, "lod": last["lod"], **means, "spread": spread, "label_effect": effect}
    )
    if team.rank:
        return
    picture = sheet(images, reals.pathologies)
    write_last(folder / "sheet.png", picture)
    if (rows := len(networks.history)) & (rows - 1) == 0:  # some of the way there: 1, 2, 4, 8 …
        write_last(folder / f"sheet-{kimg:.0f}kimg.png", picture)
    snapshot.save(networks, folder / "snapshot.pt")
    write_last(folder / "history.csv", _csv(networks.history))


@torch.inference_mode()
def _look(average: Generator, reals: Reals, settings: Settings) -> tuple[Tensor, float, float]:
    """float [rows, COLUMNS, R, R] for the sheet, the spread over latents and that over labels.

    Both are mean standard deviations per pixel, relative to real images'. Rows: no pathology, then
    each alone; the same latents in every row.
    """
    count = len(reals.pathologies)
    device = next(average.parameters()).device
    latents = torch.randn(
        COLUMNS, settings.latent_size, generator=stream(settings.seed, 0, "sheet")
    ).to(device)
    labels = torch.cat([torch.zeros(1, count), torch.eye(count)]).to(device)
    images = torch.stack([average(latents, row.expand(COLUMNS, -1))[:, 0] for row in labels])
    some = reals.sample(64, stream(settings.seed, 0, "spread"))
    real = to_float(reals.images[some]).std(dim=0).mean()
    images = images.cpu()
    return images, float(images.std(dim=1).mean() / real), float(images.std(dim=0).mean() / real)


def _csv(history: Sequence[dict[str, float]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in history)
    return text.getvalue().encode()
