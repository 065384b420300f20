"""A manifest as a lock file → the request that it answers, and what is different here.

A manifest may come from a stranger. Its recipe says what is built, never which files are read: the
label table, the images, and the weights of a generator or a check are named by the user.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from builder import generators
from builder.blueprint import Blueprint, prepare, read_cohort
from builder.build import resolve
from builder.checks import ALWAYS
from builder.checks.plug_in import CODE
from builder.contract import Manifest, Refusal, UsageError, printable
from builder.contract.record import as_record
from builder.labels.datasets import READERS
from builder.labels.source import TableOptions
from builder.recipe import RealRecipe, RealRequest, Recipe, Request, resolve_real
from builder.render import resolve_label_map
from builder.share.absent import absent
from builder.software import software
from builder.split import Cohort

_INSTALLED = re.compile(r"[A-Za-z0-9_-]{1,100}")  # a generator's name, not a file
_FILE = ":sha256:"  # in the identity of a check that reads a file
_NUMBERED = re.compile(r"copy:[0-9]+(\.[0-9]+)?(e-?[0-9]+)?")  # a check that reads no file


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What a recipient has and a manifest cannot name."""

    root: Path | None = None  # folder of the real images
    links_to: tuple[Path, ...] = ()  # folders that links in it may lead to
    labels: Path | None = None
    generator: str | None = None  # NAME:ARGUMENT, or a file of weights
    checks: tuple[str, ...] = ()  # NAME:ARGUMENT of those that read a file
    batch: int | None = None  # images per call of the generator; None: the manifest's
    patient_pattern: str | None = None  # repeated: one of a stranger is not run


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What a manifest asks for, as it is understood here."""

    cohort: Cohort
    recipe: RealRecipe  # with every default worked out again
    request: RealRequest
    blueprint: Blueprint | None  # None: real images alone
    generator: generators.Loaded | None
    absent: bool  # whether the generator is not here: nothing is rendered
    refusals: tuple[str, ...]  # such as "numpy is 2.1.0 there and 2.2.0 here"; () without any


def recall(
    manifest: Manifest, path: Path, own: Own, *, anyway: bool, rendered: bool = False
) -> Recalled:
    """What the manifest in the file `path` asks for.

    Where all its synthetic images are `rendered` and here, neither generator nor checks are needed.
    UsageError where its recipe is of another version, or something that it needs is not here; and,
    unless `anyway`, where labels, generator, checks or software are not those that it names.
    """
    rendered = rendered and own.generator is None
    request = request_of(manifest, path, own, rendered=rendered)
    cohort = read_cohort(request)
    if cohort.table.sha256 != manifest.recipe.get("labels_sha256") and not anyway:
        refused = _other("labels_sha256", manifest.recipe, {"labels_sha256": cohort.table.sha256})
        raise _refusal(path, [*refused], "name the label table that it was built from by --labels")
    if _needs_images(manifest) and cohort.table.root is None and cohort.table.dataset != "demo":
        raise UsageError(
            f"{path} has a real half, and the images of {cohort.table.dataset} are never sent: add "
            "--root FOLDER, your own copy of them."
        )
    recalled = _resolved(request, cohort, path, manifest, rendered=rendered)
    if recalled.refusals and not anyway:
        raise _refusal(path, recalled.refusals, "use the same")
    return recalled


def request_of(manifest: Manifest, path: Path, own: Own, *, rendered: bool = False) -> RealRequest:
    """The request that gives the manifest's recipe again; UsageError names a field that is strange.

    Without checks where the images are `rendered`: they have passed.
    The fields are found by name, so that a recipe of a later version is refused and not guessed.
    """
    _check_kind(manifest, path)
    kind: type[RealRequest] = RealRequest if manifest.real_only else Request
    resolved = {f.name for f in fields(RealRecipe if manifest.real_only else Recipe)}
    if strange := [name for name in manifest.recipe if name not in resolved]:
        raise UsageError(
            f"{path}: this version does not know the field {printable(strange[0])} of its recipe: "
            f"use cxr-rebalance {printable(manifest.software.get('cxr-rebalance', ''))}, which "
            "built it."
        )
    asked = resolved & {f.name for f in fields(kind)}
    raw = {name: value for name, value in manifest.recipe.items() if name in asked}
    request = as_record(raw, kind, f"{path}: its recipe")
    if request.dataset not in READERS:
        raise UsageError(
            f"{path} was built from the dataset {printable(request.dataset)!r}, and this version "
            f"knows {', '.join(READERS)}."
        )
    table = _own_pattern(request.table, own, path)
    request = replace(request, root=own.root, links_to=own.links_to, labels=own.labels, table=table)
    if not isinstance(request, Request):
        return request
    name = str(request.generator)
    if not own.generator and not _INSTALLED.fullmatch(name):
        raise UsageError(f"{path} names no installed generator: {printable(name)!r}.")
    checks = () if rendered else _checks(request.checks, own.checks, path)
    batch = own.batch or request.batch
    return replace(request, generator=own.generator or name, checks=checks, batch=batch)


def _own_pattern(table: TableOptions, own: Own, path: Path) -> TableOptions:
    """The options of the table with the user's own pattern; UsageError where one must be given.

    A regular expression of a stranger may run for ever, and none of them is run.
    """
    if table.patient_pattern is not None and own.patient_pattern is None:
        shown = shlex.quote(printable(table.patient_pattern, 300))
        raise UsageError(
            f"{path} takes the patients from the images' paths by a regular expression, which may "
            f"run for ever if a stranger wrote it: look at it, and add --patient-pattern {shown} "
            "if it is harmless."
        )
    return replace(table, patient_pattern=own.patient_pattern)


def _check_kind(manifest: Manifest, path: Path) -> None:
    """UsageError where a dataset was put together from others: or rebuilt: rebuild the others."""
    if "merged" in manifest.source:
        raise UsageError(
            f"{path} was merged from others, which its source names: rebuild each of these, and "
            "then use xbuild merge."
        )
    if "rebuilt_from" in manifest.source:
        raise UsageError(
            f"{path} is itself rebuilt from another, which its source names: rebuild that one."
        )


def _checks(identities: Sequence[str], own: Sequence[str], path: Path) -> tuple[str, ...]:
    """The checks as --check takes them, those that may read a file from `own`."""
    named = {check.partition(":")[0]: check for check in own}
    found = []
    for noted in identities:
        identity, _, _ = noted.partition(CODE)  # where it differs here, that is told later
        name, _, argument = identity.partition(":")
        if name not in named and _FILE in identity:
            raise UsageError(
                f"Each image of {path} passed the check {printable(identity)}: add --check "
                f"{printable(name)}:FILE, the file with that sha256."
            )
        if name not in named and argument and not _NUMBERED.fullmatch(identity):
            raise UsageError(
                f"{path} names the check {printable(identity)}, and a manifest must not say which "
                f"file is read here: say it yourself by --check {printable(name)}:FILE."
            )
        if name != ALWAYS:
            found.append(named.get(name, identity))
    return tuple(found)


def _needs_images(manifest: Manifest) -> bool:
    return manifest.real_only or manifest.recipe.get("real", "pack") == "pack"


def _resolved(
    request: RealRequest, cohort: Cohort, path: Path, manifest: Manifest, *, rendered: bool
) -> Recalled:
    """The request with its defaults worked out, and in what they differ from the manifest's."""
    if isinstance(request, Request):
        blueprint = _planned(request, cohort, manifest)
        loaded = absent(manifest) if rendered else _load(blueprint, path, manifest)
        label_map = resolve_label_map(blueprint.label_map, loaded.generator.labels, loaded.name)
        made = resolve(blueprint, loaded, blueprint.checks, label_map)
        recipe: RealRecipe = _as_rendered(made, manifest) if rendered else made
    else:
        blueprint, loaded, recipe = None, None, resolve_real(request, cohort.table)
    here = json.loads(json.dumps(asdict(recipe)))
    checks = blueprint.checks if blueprint else ()
    versions = {**manifest.software, **software()} if rendered else software(loaded, checks)
    refusals = [text for name in manifest.recipe for text in _other(name, manifest.recipe, here)]
    refusals += [
        text for name in manifest.software for text in _other(name, manifest.software, versions)
    ]
    return Recalled(
        cohort=cohort,
        recipe=recipe,
        request=request,
        blueprint=blueprint,
        generator=loaded,
        absent=rendered and loaded is not None,
        refusals=tuple(refusals),
    )


def _planned(request: Request, cohort: Cohort, manifest: Manifest) -> Blueprint:
    """The blueprint; UsageError where it takes far more images than the manifest lists.

    Else a recipe of a stranger could ask for a plan that no memory holds.
    """
    listed = manifest.plan.synthetic if manifest.plan else 0
    most = 10 + 10 * listed // max(len(cohort.split.train), 1)
    bounded = replace(request, max_per_real=min(request.max_per_real, most))
    return replace(prepare(bounded), request=request)


def _as_rendered(recipe: Recipe, manifest: Manifest) -> Recipe:
    """The recipe with what the manifest says of how its images were made and checked."""
    said = manifest.recipe  # a stranger's; `request_of` has found its fields to be of their kinds
    return replace(recipe, batch=said.get("batch"), checks=tuple(said.get("checks", ())))


def _load(blueprint: Blueprint, path: Path, manifest: Manifest) -> generators.Loaded:
    spec = blueprint.generator
    try:
        return generators.find(spec.name, spec.image_size, spec.options)
    except Refusal as error:
        sha256 = printable(str(manifest.recipe.get("generator_sha256")))
        raise UsageError(
            f"{path} was rendered by {printable(manifest.generator_name)} with sha256 {sha256}: "
            f"name its file by --generator. ({error})"
        ) from None


def _other(name: str, there: Mapping[str, object], here: Mapping[str, object]) -> Iterator[str]:
    """In what one field differs, or the fields that it has."""
    old, new = there.get(name), here.get(name)
    if isinstance(old, dict) and isinstance(new, dict):
        for part in {**old, **new}:
            yield from _other(part, old, new)
    elif old != new:
        known = _shown(here[name]) if name in here else "unknown"
        yield f"{printable(name)} is {_shown(there.get(name))} there and {known} here"


def _shown(value: object) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value))


def _refusal(path: Path, refusals: Sequence[str], what_to_do: str) -> UsageError:
    return UsageError(
        f"{path} was built otherwise: {'; '.join(refusals)}. Please {what_to_do}, or build it all "
        "the same by --anyway."
    )
