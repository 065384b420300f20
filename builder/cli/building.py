"""Commands around one dataset: plan, pack, synth, seal, verify."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from builder.cli.environment import option
from builder.cli.near import dataset_near, shown_place
from builder.cli.options import (
    FILE,
    PLACE,
    OrUrl,
    balance_options,
    engine_options,
    part_option,
    reading_options,
    shard_options,
    shards_root,
)
from builder.cli.real_options import real_options
from builder.cli.sharing import tell_faults, verify_release
from builder.cli.synth_options import synth_options
from builder.cli.terminal import echo
from builder.contract import Manifest, UsageError

if TYPE_CHECKING:
    from builder.blueprint import Blueprint
    from builder.build import Built
    from builder.engines.make import Work
    from builder.engines.parts import Part
    from builder.recipe import RealRequest

_PATIENCE = 600.0  # seconds that the last part waits for a folder in which another build writes
_Asked = TypeVar("_Asked", bound="RealRequest")


@click.command()
@real_options
@balance_options
@option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(as_json: bool, **request: Any) -> None:
    """Count the images that each target needs.

    Reads labels only and writes nothing.
    """
    from builder.blueprint import prepare
    from builder.cli.plan_text import plan_json, plan_text
    from builder.recipe import Request

    blueprint = prepare(Request(**request))
    _show_notes(blueprint.cohort.table.notes)
    echo(plan_json(blueprint) if as_json else plan_text(blueprint))


@click.command()
@real_options
@option("--name", help="Name of the dataset.  [default: real and the regime]")
@option(
    "--image-size",
    type=click.IntRange(16, 1024),
    default=224,
    show_default=True,
    help="Pixels on a side.",
)
@reading_options
@shard_options
@part_option
@engine_options
def pack(part: str | None, name: str | None, **options: Any) -> None:
    """Seal real images alone, to train a generator on them.

    Shards, index and manifest, in the folders shards/ and manifests/ of --out. No generator is
    needed. `xbuild synth` with the same options and --out uses these very shards.
    """
    from builder.blueprint import read_cohort
    from builder.build import pack as build
    from builder.build import pack_part
    from builder.cli.engines import divided, working
    from builder.cli.plan_text import packed_text
    from builder.engines.parts import Part
    from builder.recipe import RealRequest

    mine = None if part is None else Part.parse(part)
    how, request = divided(options)
    asked = _with_images(RealRequest(name=name, **request))
    cohort = read_cohort(asked)
    _show_notes(cohort.table.notes)
    then = "xbuild pack with the same options and without --part"
    with working(how) as work:
        if mine and (missing := pack_part(asked, cohort, work, mine)):
            _show_missing(mine, missing, then)
            return
        with _last(mine, work, then) if mine else nullcontext():
            manifest = build(asked, cohort, work)
            echo(packed_text(manifest))
            _show_sealed(manifest, work)


@click.command()
@synth_options
@part_option
@engine_options
@option("--dry-run", is_flag=True, help="Print the plan and stop.")
def synth(part: str | None, dry_run: bool, **options: Any) -> None:
    """Build and seal a balanced dataset.

    Real and synthetic shards, index and manifest, in the folders shards/ and manifests/ of --out.
    After an interruption, the same command resumes the build.
    """
    from builder.build import synth as build
    from builder.build import synth_part
    from builder.checks.check import DUPLICATE
    from builder.cli.engines import divided, working
    from builder.cli.plan_text import show_unshown
    from builder.engines.parts import Made, Part

    mine = None if part is None else Part.parse(part)
    how, request = divided(options)
    blueprint = _planned(request)
    if dry_run:
        return
    tell = partial(show_unshown, blueprint)
    then = "xbuild seal with the same options"
    with working(how) as work:
        if mine is None:
            _show_built(build(blueprint, work, tell=tell), work)
            return
        if missing := synth_part(blueprint, work, mine, tell):
            _show_missing(mine, missing, then)
            return
        work = replace(work, share=Made())
        with _last(mine, work, then, alone=DUPLICATE in blueprint.request.checks):
            _show_built(build(blueprint, work), work)


@click.command()
@synth_options
@engine_options
def seal(**options: Any) -> None:
    """Seal the dataset that parts have made.

    Takes the options of `xbuild synth`. Every shard is proved to be what they ask for; those that
    are missing are named. Parts of other datasets may go on in the same --out. With --check
    duplicate, images are compared across all shards, and duplicates are drawn again.
    """
    from builder.build import synth as build
    from builder.checks.check import DUPLICATE
    from builder.claim import claimed
    from builder.cli.engines import divided, working
    from builder.cli.plan_text import show_unshown
    from builder.engines.parts import Made

    how, request = divided(options)
    blueprint = _planned(request)
    alone = DUPLICATE in blueprint.request.checks
    with working(how) as work, nullcontext() if alone else claimed(work.out, shared=True):
        tell = partial(show_unshown, blueprint)
        _show_built(build(blueprint, replace(work, share=Made()), tell=tell), work)


def _planned(request: Mapping[str, Any]) -> "Blueprint":
    """What the labels decide, and the plan on the terminal."""
    from builder.blueprint import prepare
    from builder.cli.plan_text import plan_text
    from builder.generators import check_named
    from builder.recipe import Request

    asked = _with_images(Request(**request))
    spec = asked.generator_spec()
    check_named(spec.name, spec.options)
    blueprint = prepare(asked)
    _show_notes(blueprint.cohort.table.notes)
    echo(plan_text(blueprint))
    if blueprint.generator.name == "phantom" and blueprint.request.dataset != "demo":
        _show_notes(["phantoms are drawings, not radiographs; name a generator by --generator."])
    return blueprint


def _show_missing(part: "Part", missing: Sequence[str], then: str) -> None:
    from builder.engines.parts import named

    shards = "shard of another part is" if len(missing) == 1 else "shards of other parts are"
    echo(
        f"Part {part} is complete. {len(missing):,} {shards} not there yet: {named(missing)}. The "
        f"part that ends last seals the dataset; so does {then}."
    )


@contextmanager
def _last(part: "Part", work: "Work", then: str, *, alone: bool = False) -> Iterator[None]:
    """The end of the last part, which seals; BusyError where it cannot, and `then` must do so.

    All shards are there, so what is sealed beside other parts, of this dataset or of others, is the
    same. It must be `alone` where finished shards change once more.
    """
    from builder.claim import BusyError, claimed

    left = _PATIENCE

    def wait(seconds: float) -> None:
        nonlocal left
        if left <= 0:
            raise BusyError(
                f"Part {part} is complete, and so are all others, but another xbuild is still "
                f"writing into {work.out}: run {then} when it has ended."
            )
        if left == _PATIENCE:
            _show_notes([f"another xbuild is writing into {work.out}; waiting for it to end."])
        left -= seconds
        time.sleep(seconds)

    with claimed(work.out, shared=not alone, wait=wait):
        yield


def _show_built(built: "Built", work: "Work") -> None:
    from builder.cli.plan_text import throughput_text

    echo(f"\n{throughput_text(built)}")
    _show_sealed(built.manifest, work)


def _with_images(request: _Asked) -> _Asked:
    """The request with the CheXpert of the current folder, where that is needed and was found."""
    from builder.blueprint import with_images

    asked = with_images(request, Path.cwd())
    if asked.root != request.root:
        _show_notes([f"CheXpert's images are those in {asked.root}."])
    return asked


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes:
        echo(f"Note: {note}", err=True)


def _show_sealed(manifest: Manifest, work: "Work") -> None:
    """Draw the contact sheet, and say where everything is and how many images were left out."""
    from builder.gallery.contact_sheet import contact_sheet

    if left_out := manifest.source.get("left_out"):
        images = "real image is" if left_out == 1 else "real images are"
        report = work.out / f"{manifest.name}-left-out.csv"
        _show_notes([f"{left_out:,} {images} left out: see {report}."])
    own = f"manifests/{manifest.name}.json"
    if work.destination is not None:
        place = f"{work.destination.shown}/{own}"
        echo(f"Sealed {place} ({manifest.index.rows:,} images); xbuild preview {place} draws them.")
        return
    path = work.out / own
    sheet = path.with_suffix(".png")
    pictures = f"; pictures in {sheet}" if contact_sheet(manifest, path, sheet) else ""
    echo(f"Sealed {path} ({manifest.index.rows:,} images){pictures}.")


@click.command()
@click.argument("manifest", type=OrUrl(PLACE))
@option(
    "--allowed-signers",
    type=FILE,
    help="File of OpenSSH with the keys that you trust; a release must be signed by one of them.",
)
@shards_root
def verify(manifest: Path | str, allowed_signers: Path | None, shards_root: Path | None) -> None:
    """Recompute a dataset from its shards.

    Checks sizes, hashes, layout, labels, pixels and shares; prints OK, or every fault. MANIFEST may
    also be the folder of a release: then every byte in it is checked. With a URL, shards come one
    after another, and none is kept.
    """
    from builder.contract import load_manifest
    from builder.progress import progress
    from builder.verify import verify as faults_of

    if isinstance(manifest, Path) and manifest.is_dir():
        verify_release(manifest, allowed_signers)
        return
    if allowed_signers is not None:
        raise UsageError(
            "--allowed-signers is for the folder of a release; a manifest is unsigned."
        )
    with dataset_near(manifest, shards_root, cached=False) as here:
        sealed = load_manifest(here.path)  # for the length of the bar; verify loads its own
        with progress("verifying", sealed.index.rows) as advance:
            faults = list(faults_of(here.path, root=shards_root, advance=advance, near=here))
    shown = shown_place(manifest)
    tell_faults(shown, faults)
    shards = len(sealed.shardlist)
    echo(f"OK: {sealed.index.rows:,} samples in {shards} shards are as {shown} says.")
