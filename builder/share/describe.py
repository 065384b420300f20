"""What a manifest is, for people, and in what two differ: the texts of `xbuild info` and `diff`."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from builder.contract import (
    CheckError,
    Manifest,
    dataset_root,
    index_root,
    load_index,
    load_manifest,
    printable,
)
from builder.share.check import SUMS, manifest_of
from builder.share.sources import counted, source_facts
from builder.share.summary import Prevalence, Summary, origins, rejects, summarise

_WIDTH = 100  # columns
_OPTIONS = {  # fields of a recipe whose option has another name
    "targets": "--target",
    "label_columns": "--label-column",
    "codec": "--format",
    "options": "--generator-option",
    "checks": "--check",
    "image_size": "--image-size",
    "labels_sha256": "--labels (its sha256)",
    "generator_sha256": "--generator (its sha256)",
}
_SENT = "the synthetic images are here; real ones are never sent"
_NO_OPTION = ("quality",)  # follows from others


def find_manifest(path: Path) -> Path:
    """The manifest that a path means: itself, or that of a release or of a dataset's folder.

    UsageError where a folder holds none or several.
    """
    return manifest_of(path) if path.is_dir() else path


def info_text(path: Path) -> str:
    """A dataset in at most 100 columns: what it is, before and after, where from, its digest."""
    path = find_manifest(path)
    manifest = load_manifest(path)
    try:
        index = load_index(manifest, index_root(manifest, path, None))
    except CheckError:
        index = None
    summary = summarise(manifest, index)
    released = (dataset_root(path) / SUMS).is_file()
    lines = [
        *_facts(_what(manifest, summary)),
        *(_facts(iter([("release", _SENT)])) if released else []),
        "",
        *_prevalence(manifest, summary, _unknown(index is not None, released)),
        "",
        *_facts(_whence(manifest, path)),
    ]
    return "\n".join(lines)


def _unknown(complete: bool, released: bool) -> str:
    """Why the pathologies that are no targets are not counted."""
    if complete:
        return "the real images are not part of it"
    return "see its README.md" if released else "its index is not here"


def diff_text(one: Path, other: Path) -> str:
    """In what two manifests differ, field by field; one sentence where they do not."""
    first, second = (load_manifest(find_manifest(path)) for path in (one, other))
    if first.digest == second.digest:
        return f"Both are the same dataset, {first.name} (digest {first.digest})."
    return "\n".join([f"A is {_name(first)}, B is {_name(second)}.", *_grouped(first, second)])


def _name(manifest: Manifest) -> str:
    return f"{manifest.name} ({manifest.digest[:12]})"


def _grouped(first: Manifest, second: Manifest) -> Iterator[str]:
    """A heading for each part that differs, and its fields."""
    last = ""
    for part, field, left, right in _differences(first, second):
        if part != last:
            yield f"\n{part}"
            last = part
        yield from _difference(field, left, right)


def _differences(first: Manifest, second: Manifest) -> Iterator[tuple[str, str, str, str]]:
    """(part, field, value in A, value in B) of all that differs."""
    left, right = msgspec.to_builtins(first), msgspec.to_builtins(second)
    for raw, manifest in ((left, first), (right, second)):
        if manifest.vectors:  # the usual ones are not noted
            raw["recipe"]["vectors"] = manifest.vectors
    for part in ("recipe", "plan", "generator", "source", "software", "image"):
        for field, one, other in _unequal(left[part] or {}, right[part] or {}):
            yield part, _option(field) if part == "recipe" else field, one, other
    for field in ("name", "pathologies", "schema"):
        if left[field] != right[field]:
            yield "dataset", field, _shown(left[field]), _shown(right[field])
    for origin in ("real", "synthetic"):
        mine, theirs = (
            {s.sha256: s for s in m.shardlist if s.origin == origin} for m in (first, second)
        )
        if {*mine} != {*theirs}:
            field = f"{origin} shards"
            yield "shards", field, _shards(mine, theirs), _shards(theirs, mine)
    if first.index.sha256 != second.index.sha256:
        yield "shards", "index", f"{first.index.rows:,} rows", f"{second.index.rows:,} rows"


def _unequal(one: object, other: object, place: str = "") -> Iterator[tuple[str, str, str]]:
    """(field, value, value) where two values of JSON differ, down to the innermost."""
    first, second = _fields(one, other), _fields(other, one)
    if first is not None and second is not None:
        for name in [*first, *(name for name in second if name not in first)]:
            inner = f"{place}.{name}" if place else str(name)
            yield from _unequal(first.get(name), second.get(name), inner)
    elif _named(one) and _named(other):
        yield from _unequal(_by_name(one), _by_name(other), place)
    elif one != other:
        yield place, _shown(one), _shown(other)


def _fields(value: object, other: object) -> Mapping[str, object] | None:
    """The fields of a record; none where it is missing and the other is one of a recipe."""
    if value is None and isinstance(other, dict) and "pathology" not in other:
        return {}
    return value if isinstance(value, dict) else None


def _named(value: object) -> bool:
    """Whether it is a list of targets."""
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(each, dict) and "pathology" in each for each in value)
    )


def _by_name(value: object) -> Mapping[str, object]:
    assert isinstance(value, list | tuple)
    return {each["pathology"]: each for each in value}


def _shards(mine: Mapping[str, object], theirs: Mapping[str, object]) -> str:
    shared = len({*mine} & {*theirs})
    return f"{len(mine):,}, of which {shared:,} are in both" if shared else f"{len(mine):,}"


def _option(field: str) -> str:
    name = field.removeprefix("table.").partition(".")[0]  # of the options of a label table
    if name in _NO_OPTION:
        return field
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def _difference(field: str, left: str, right: str) -> Iterator[str]:
    line = f"  {field}: {left} → {right}"
    if len(line) <= _WIDTH:
        yield line
    else:
        yield from (f"  {field}:", f"    A  {left}", f"    B  {right}")


def _shown(value: object) -> str:
    if value is None:
        return "(not there)"
    if isinstance(value, dict):
        value = [f"{name} {inner}" for name, inner in value.items() if name != "pathology"]
    if isinstance(value, list | tuple):
        value = ", ".join(map(_shown, value)) or "(none)"
    return printable(str(value) or "(empty)", _WIDTH - 10)


def _what(manifest: Manifest, summary: Summary) -> Iterator[tuple[str, str]]:
    image, plan = manifest.image, manifest.plan
    codec = "PNG" if image.codec == "png" else f"JPEG {image.quality}"
    yield "dataset", manifest.name
    yield "digest", manifest.digest
    yield "images", _counts(summary)
    yield "pictures", f"{image.height} × {image.width} pixels, 8-bit grey, {codec}"
    yield (
        "shards",
        (f"{len(manifest.shardlist):,} with {_megabytes(manifest):,.1f} MB"),
    )
    if plan is not None:
        least = f"at least {plan.lower_bound:,} are needed" if plan.lower_bound else ""
        if plan.lower_bound == plan.synthetic:
            least = "the fewest possible"
        yield (
            "plan",
            (
                f"every target reaches {100 * plan.share[0] / plan.share[1]:g} % with "
                f"{plan.synthetic:,} synthetic images{least and f' ({least})'}"
            ),
        )

    if manifest.vectors == "alone":
        yield "labels", "each synthetic image has its target alone, every other label is 0"
    elif manifest.vectors not in ("", "lp"):
        yield "labels", f"of the synthetic images: {manifest.vectors}"


def _megabytes(manifest: Manifest) -> float:
    return sum(shard.filesize for shard in manifest.shardlist) / 1e6


def _whence(manifest: Manifest, path: Path) -> Iterator[tuple[str, str]]:
    source, generator = manifest.source, manifest.generator
    facts = source_facts(manifest.dataset)
    yield (
        "source",
        (
            f"{facts.name if facts else manifest.dataset or 'unknown'}, "
            f"regime {manifest.regime} %, "
            f"uncertain labels: {manifest.uncertain}"
        ),
    )
    yield (
        "label table",
        (f"{counted(source.get('rows'))} images of {counted(source.get('patients'))} patients"),
    )
    yield "", f"sha256 {source.get('labels_sha256', 'unknown')}"
    if generator:
        yield "generator", f"{generator.get('name')}, {generator.get('resolution')} pixels"
        yield "", f"sha256 {generator.get('sha256')}"
        if rejected := rejects(generator):
            yield "rejected", rejected
    yield "software", ", ".join(f"{name} {number}" for name, number in manifest.software.items())
    if made := origins(manifest):
        yield "made", made
    yield "from", str(path)


def _counts(summary: Summary) -> str:
    parts = [f"{summary.synthetic:,} synthetic"] if summary.synthetic else []
    if summary.packed or not summary.synthetic:
        parts = [f"{summary.real:,} real for training", *parts]
    elif summary.real:
        parts.append(f"planned for {summary.real:,} real ones, which are not part of it")
    if summary.held_out:
        parts.append(f"{summary.held_out:,} real for validation and testing")
    return ", ".join(parts)


def _prevalence(manifest: Manifest, summary: Summary, unknown: str) -> list[str]:
    """The table of pathologies; without the index, that of the targets alone."""
    total = summary.real + summary.synthetic
    known = [each for each in summary.prevalence if each.real is not None]
    if not known:
        return ["How often each pathology is present stands in the index, which is not here."]
    rows = [("pathology", "before", "share", "after", "share")]
    rows += [_prevalence_row(each, summary.real, total) for each in known]
    note = []
    if len(known) < len(manifest.pathologies):
        note = [f"The other {len(manifest.pathologies) - len(known)} pathologies: {unknown}."]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return [*lines, *note]


def _prevalence_row(each: Prevalence, real: int, total: int) -> tuple[str, str, str, str, str]:
    before = each.real or 0
    after = before + (each.synthetic or 0)
    mark = " *" if each.target else ""
    return (
        f"{each.pathology}{mark}",
        f"{before:,}",
        f"{before / real:.2%}" if real else "–",
        f"{after:,}",
        f"{after / total:.2%}" if total else "–",
    )


def _facts(pairs: Iterator[tuple[str, str]]) -> Iterator[str]:
    """Lines of a word and what is said of it, wrapped."""
    for word, text in pairs:
        lines: Sequence[str] = textwrap.wrap(printable(text, 2000), _WIDTH - 13) or [""]
        yield f"{word:<13}{lines[0]}".rstrip()
        yield from (f"{'':<13}{line}" for line in lines[1:])
