"""The parts of the card, each a question that a reviewer asks: a heading and its paragraphs."""

from collections.abc import Sequence

from builder.contract import Manifest
from builder.share.croissant import citation
from builder.share.publisher import Publisher
from builder.share.sources import counted, source_facts
from builder.share.summary import FEW, GroupShare, Prevalence, Summary, origins, rejects

Part = list[str]  # a heading, then paragraphs and tables in Markdown

_UNCERTAIN = {
    "ones": "An uncertain label counts as present (U-Ones).",
    "zeros": "An uncertain label counts as absent (U-Zeros).",
    "mask": "An uncertain label stays unknown; it is written as -1, and training ignores it.",
}
_VIEWS = {"all": "All views are used.", "frontal": "Frontal views alone are used."}
_VECTORS = {
    "lp": "Each image was rendered for a combination of labels that a real training image with "
    "that pathology has. Combinations are drawn again and again; the fewer there are, the more "
    "images share one:",
    "alone": "Each image was rendered for its pathology alone; every other label of it is 0:",
}
_HIDDEN = "not told"
_UNSAID = "The publisher does not say."
_NO_REAL = "The dataset has no real half: combine it with your own copy of the source."


def images_part(manifest: Manifest, publisher: Publisher, summary: Summary) -> Part:
    """What the release is, in a table."""
    image = manifest.image
    codec = "PNG" if image.codec == "png" else f"JPEG, quality {image.quality}"
    rows = [
        ("synthetic images", f"{summary.synthetic:,}, all for training"),
        ("size", f"{image.height} × {image.width} pixels, 8-bit grey, {codec}"),
        ("labels", f"{len(manifest.pathologies)}: {', '.join(manifest.pathologies)}"),
        ("lifted pathologies", ", ".join(manifest.targets)),
        ("real images", _real_half(summary)),
        *([("made", made)] if (made := origins(manifest)) else []),
        ("licence", publisher.licence.name),
        ("made by", publisher.creator),
        ("version", f"{publisher.version}, published on {publisher.date}"),
        ("manifest", f"`manifests/{manifest.name}.json`, sha256 `{manifest.digest}`"),
    ]
    return ["## In short", _table(("", ""), rows)]


def use_part(manifest: Manifest, paths: Sequence[str]) -> Part:
    """How the release is read, checked and rebuilt."""
    snippet = (
        "```python\n"
        "from datasets import load_dataset\n\n"
        'images = load_dataset("FOLDER_OR_REPOSITORY", split="train")  # no code of ours\n'
        "```"
    )
    return [
        "## How to use it",
        "Each sample of the WebDataset shards in `data/` is an image and a JSON text with its "
        "labels: 1 present, 0 absent, -1 unknown. `metadata/train.parquet` holds the same labels "
        "with the place of every image. `.idx` files are for NVIDIA DALI, `croissant.json` is for "
        "readers of Croissant.",
        snippet,
        "To check every byte: `sha256sum -c SHA256SUMS`. Where there is a signature, OpenSSH tells "
        "who published this: `ssh-keygen -Y verify -f ALLOWED_SIGNERS -I NAME "
        "-n cxr-rebalance@dataset -s SHA256SUMS.sig < SHA256SUMS`.",
        _rebuild(manifest) if "real.parquet" in paths else _NO_REAL,
    ]


def prevalence_part(summary: Summary) -> Part:
    """Each pathology in the training set before and after."""
    total = summary.real + summary.synthetic
    rows = [_prevalence_row(each, summary.real, total) for each in summary.prevalence]
    heads = ("pathology", "real", "share", "synthetic", "together", "share")
    unknown = any(each.real is None for each in summary.prevalence)
    note = ["– : this release does not know how often the pathology is present in the real images."]
    few = [f"Numbers of fewer than {FEW} persons are not given."]
    return [
        "## How often each pathology is present, before and after",
        f"In the training set of {summary.real:,} real images, and together with the "
        f"{summary.synthetic:,} synthetic ones ({total:,} in all). Names in bold were lifted.",
        _table(heads, rows),
        *(note if unknown else []),
        *(few if any(map(_of_few, summary.prevalence)) else []),
    ]


def generator_part(manifest: Manifest, summary: Summary, paths: Sequence[str]) -> Part:
    """Where the synthetic images come from, and which were rejected."""
    generator, recipe = manifest.generator or {}, manifest.recipe
    if "generator.md" in paths:
        card = "What it was trained on, on which patients, and how well it does: `generator.md`."
    elif manifest.generator_name == "phantom":
        card = "It draws by rules and was trained on nothing: its images are no radiographs."
    else:
        card = f"What the generator was trained on, and on which patients: {_UNSAID.lower()}"
    checks = ", ".join(map(str, recipe.get("checks", []))) or "none"
    counts = rejects(generator) or "none"
    reuse = [
        (each.target, f"{each.images:,}", f"{each.vectors:,}", f"{each.most:,}")
        for each in summary.reuse
    ]
    return [
        "## Where the synthetic images come from",
        f"Generator: {generator.get('name')}, {generator.get('resolution')} pixels, sha256 "
        f"`{generator.get('sha256')}`. {card}",
        _VECTORS.get(manifest.vectors, " Or: ".join(_VECTORS.values())),
        _table(("rendered for", "images", "different combinations", "most images of one"), reuse),
        f"Checks that every image passed: {checks}. Images that failed and were drawn again: "
        f"{counts}.",
    ]


def source_part(manifest: Manifest, publisher: Publisher, summary: Summary) -> Part:
    """The real images behind it: population, years, labels."""
    facts = source_facts(manifest.dataset)
    source, recipe = manifest.source, manifest.recipe
    lines = [
        f"Source: {facts.name if facts else 'a table of the publisher'}, "
        f"{counted(source.get('rows'))} images of {counted(source.get('patients'))} patients in "
        f"its label table (sha256 `{source.get('labels_sha256')}`).",
        f"Patients: {publisher.source or (facts.population if facts else _UNSAID)}",
        f"Labels: {facts.labels if facts else _UNSAID} "
        f"{_UNCERTAIN.get(manifest.uncertain, '')} {_VIEWS.get(str(recipe.get('views')), '')}",
    ]
    if facts:
        lines.append(f"Reference: {facts.reference}")
    return ["## The real images behind it", *map(str.strip, lines), *_groups(summary)]


def split_part(manifest: Manifest) -> Part:
    """Which patients the label vectors come from, and what stays apart."""
    recipe = manifest.recipe
    regime = f"{manifest.regime} % of its training patients are used."
    if recipe.get("split") == "official":
        how = f"The official split of the source is used. {regime}"
    else:
        held_out = recipe.get("holdout") or ("?", "?")
        how = (
            "The patients of the source were divided by a hash of their number: "
            f"{_percent(held_out[0])} for validation, {_percent(held_out[1])} for testing, the "
            f"rest for training. {regime}"
        )
    return [
        "## Splits and leakage",
        f"{how} No patient is in two of them. Synthetic images are in the training set alone, and "
        "their labels come from no image of another set. Whether the generator has seen a patient "
        "of your test set is a question about its own training: see its card.",
    ]


def limits_part(publisher: Publisher) -> Part:
    """What it is for, what not, and where it fails."""
    forbidden = "Diagnosis, or any decision about a patient. Finding out who a patient is."
    return [
        "## Intended use",
        publisher.intended_use,
        "## What it must not be used for",
        f"{forbidden} {publisher.forbidden_use}".strip(),
        "## Known limits",
        "The images inherit the population, the devices and the label errors of their source. "
        "Small findings may be missing although the label says that they are there. A generator "
        "may repeat images that it was trained on: this release does not claim to protect privacy. "
        "No radiologist has judged the images.",
        *([publisher.limitations] if publisher.limitations else []),
    ]


def terms_part(manifest: Manifest, publisher: Publisher) -> Part:
    """Licence, terms of the source, contact, withdrawal, citation."""
    approved = publisher.approved_by or _UNSAID
    withdrawal = publisher.withdrawal or _UNSAID
    software = ", ".join(f"{name} {version}" for name, version in manifest.software.items())
    return [
        "## Licence and terms",
        f"{publisher.licence.name}: see LICENSE.md. Approved by: {approved}",
        f"Terms of the source: {publisher.source_terms}",
        "## Contact, version, withdrawal",
        f"Contact: {publisher.contact}. Version {publisher.version} of {publisher.date}.",
        f"How a release is taken back: {withdrawal}",
        f"Made with {software}.",
        f"## Citation\n\n```bibtex\n{citation(manifest, publisher)}\n```",
    ]


def _rebuild(manifest: Manifest) -> str:
    """How a recipient gets the real half; `xbuild rebuild` takes only what was built from a table.

    Which others a dataset was made from stands in the part "In short".
    """
    if "merged" in manifest.source:
        how = (
            "rebuild each of the datasets that this one was merged from by `xbuild rebuild`, and "
            "put them together by `xbuild merge`."
        )
    elif "rebuilt_from" in manifest.source:
        how = (
            "rebuild the dataset that this one was rebuilt from by `xbuild rebuild`. This one "
            "differs from it and cannot be rebuilt."
        )
    else:
        how = (
            f"`xbuild rebuild manifests/{manifest.name}.json --root IMAGES` packs them and proves "
            "that they are the same."
        )
    return (
        "`real.parquet` lists the real images that belong to the dataset, by a hash and without a "
        f"patient: with your own copy of the source, {how}"
    )


def _real_half(summary: Summary) -> str:
    if not summary.packed:
        return "none; the dataset was built without them"
    return (
        f"none; {summary.real:,} for training and {summary.held_out:,} for validation and testing "
        "are listed in `real.parquet`"
    )


def _prevalence_row(each: Prevalence, real: int, total: int) -> Sequence[str]:
    name = f"**{each.pathology}**" if each.target else each.pathology
    added = each.synthetic or 0
    if each.real is None:
        return (name, "–", "–", f"{added:,}", "–", "–")
    if _of_few(each):
        return (name, _HIDDEN, "–", f"{added:,}", _HIDDEN, "–")
    both = each.real + added
    return (
        name,
        f"{each.real:,}",
        _share(each.real, real),
        f"{added:,}",
        f"{both:,}",
        _share(both, total),
    )


def _of_few(each: Prevalence) -> bool:
    """Whether so few persons have it that the number is not given; images where none are known."""
    return 0 < (each.patients or each.real or 0) < FEW


def _groups(summary: Summary) -> Part:
    """View, sex and age before and after."""
    if not summary.groups:
        return ["View, sex and age: unknown in the real half, or the real half is not part of it."]
    total = summary.real + summary.synthetic
    hidden = _hidden(summary.groups)
    rows = []
    for each in summary.groups:
        before, shares = f"{each.images:,}", ("–", "–")
        if each in hidden:
            before = _HIDDEN
        else:
            shares = (_share(each.images, summary.real), _share(each.images, total))
        rows.append((each.group, each.word or "unknown", before, *shares))
    heads = ("", "", "real training images", "share before", "share after")
    note = [f"Numbers of fewer than {FEW} persons, and what would tell them, are not given."]
    return [
        "View, sex and age of the real training images. Synthetic images have none of them, so "
        "every share becomes smaller.",
        _table(heads, rows),
        *(note if hidden else []),
    ]


def _hidden(groups: Sequence[GroupShare]) -> set[GroupShare]:
    """The numbers that single out few patients, and the next ones where the sum would tell them."""
    hidden: set[GroupShare] = set()
    for name in {each.group for each in groups}:
        last = 0  # persons of the last one hidden: all that are hidden are of at least so many
        for each in sorted((g for g in groups if g.group == name), key=lambda g: g.patients):
            if each.patients >= FEW and (last == 0 or last >= FEW):
                break
            hidden.add(each)
            last = each.patients
    return hidden


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _share(part: int, total: int) -> str:
    return f"{100 * part / total:.1f} %" if total else "–"


def _percent(fraction: object) -> str:
    try:
        return f"{100 * float(str(fraction)):g} %"
    except ValueError:
        return "an unknown share"
